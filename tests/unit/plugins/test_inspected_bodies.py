"""Which bodies and parts the middleware inspects, over ASGI and WSGI alike."""

from __future__ import annotations

import base64
import gzip
import time
from collections.abc import Callable
from typing import Any

import pytest

from hashwacht import Reason
from hashwacht_plugins.policy import OnUndetermined, Policy
from hashwacht_plugins.request_body import RawBody
from support.plugins.upload_forms import MULTIPART, cut, file_part, form
from support.plugins.uploads import KNOWN

OTHER = b"other bytes"

Make = Callable[..., Any]


def test_base64_is_decoded_as_django_does_however_it_is_cut(
    make: Make,
) -> None:
    head, content = file_part(KNOWN)
    head += b"\r\nContent-Transfer-Encoding: base64"
    body = form((head, base64.encodebytes(content).replace(b"\n", b"\r\n")))
    assert make().send([body]).status == 403
    assert make().send([body[n : n + 7] for n in range(0, len(body), 7)]).status == 403


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        (b"x-own", b"any"),
        (b"quoted-printable", b"any"),
        (b"base64", b"aGVs!!!!bG8="),
        (b"base64", b"aGVsbG8=aGVsbG8="),
        (b"base64", b"aGVsbG8"),
    ],
)
def test_what_applications_decode_in_different_ways_is_refused(
    make: Make, encoding: bytes, content: bytes
) -> None:
    head = file_part(KNOWN)[0] + b"\r\nContent-Transfer-Encoding: " + encoding
    assert make().send([form((head, content))]).status == 400


@pytest.mark.parametrize(
    "disposition",
    [
        b"form-data; name=\"f\"; filename*=UTF-8''a.jpg",
        b'form-data; name="f"; FileName=a.jpg',
        b'form-data; name="f"; filename=""',
        b"form-data; filename = a",
        b'attachment; name="f"; filename="a;b\\".jpg"',
    ],
)
def test_a_file_is_seen_however_its_name_is_written(make: Make, disposition: bytes) -> None:
    part = (b"Content-Disposition: " + disposition, KNOWN)
    assert make().send([form(part)]).status == 403


def test_a_part_without_a_name_is_a_file_by_its_type(make: Make) -> None:
    """An example is multipart/related (RFC 2387), whose parts have no names."""
    for kind, status in (
        (b"image/png", 403),
        (b"Application/Octet-Stream; x=y", 403),
        (b"a/b", 200),
    ):
        body = form((b"Content-Type: application/json", b"{}"), (b"Content-Type: " + kind, KNOWN))
        related = MULTIPART.replace("form-data", "related")
        assert make().send([body], related).status == status, kind


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=a; boundary=b",
        "multipart/form-data; boundary*=UTF-8''a",
        f"text/plain, {MULTIPART}",
        "multipart/form-data; boundary=" + "x" * 300,
    ],
)
def test_a_multipart_that_can_be_read_in_two_ways_is_refused(make: Make, content_type: str) -> None:
    found = make().send([form(file_part(OTHER))], content_type)
    assert (found.status, found.received) == (400, b"")


def test_a_part_that_repeats_a_header_is_refused(make: Make) -> None:
    head, content = file_part(OTHER)
    twice = head + b'\r\nContent-Disposition: form-data; name="x"'
    assert make().send([form((twice, content))]).status == 400


def test_malformed_bodies_can_be_let_through(make: Make) -> None:
    policy = Policy(on_malformed=OnUndetermined.ALLOW)
    found = make(policy=policy).send([b"no multipart at all"])
    assert (found.status, found.received) == (200, b"no multipart at all")


def test_a_compressed_body_is_decoded_to_a_bound(make: Make) -> None:
    bomb = gzip.compress(form(file_part(b"\0" * (2 << 20))))
    driver = make(policy=Policy(max_decoded=1 << 20))
    found = driver.send(cut(bomb, 100), headers=[("Content-Encoding", "gzip")])
    assert (found.status, found.received) == (200, bomb)
    assert [f.result.reason for f in found.findings.files] == [Reason.OVER_LIMIT]


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip", "deflate", "gzip, gzip", "nonsense"])
def test_no_header_of_a_client_disables_the_check(make: Make, encoding: str) -> None:
    """Most applications ignore the header and would read the form as it was sent."""
    headers = [("Content-Encoding", encoding)]
    assert make().send([form(file_part(KNOWN))], headers=headers).status == 400
    raw = make().send([KNOWN], "image/jpeg", method="PUT", headers=headers)
    # A body that some applications decode is also checked undecoded, which may be complete first.
    assert raw.status in ({400, 403} if encoding in {"gzip", "deflate"} else {400})
    assert raw.received == b""


def test_a_compressed_form_that_is_a_form_raw_is_refused(make: Make) -> None:
    """Django and Werkzeug search for the first delimiter anywhere."""
    known = form(file_part(KNOWN))
    hidden = b"\x1f\x8b\x08\x04" + bytes(6) + len(known).to_bytes(2, "little") + known
    body = hidden + gzip.compress(form(file_part(OTHER)), mtime=0)[10:]
    assert gzip.decompress(body) == form(file_part(OTHER))
    driver = make()
    for chunks in ([body], [body[n : n + 7] for n in range(0, len(body), 7)]):
        assert driver.send(chunks, headers=[("Content-Encoding", "gzip")]).status == 400


@pytest.mark.alone  # measures time
def test_a_header_of_blanks_takes_no_time(make: Make) -> None:
    driver = make()
    began = time.process_time()
    assert driver.send([b"x"], "multipart/form-data; boundary" + " " * 60_000).status == 400
    assert time.process_time() - began < 1  # the time grew with the square of their number


def test_an_empty_multipart_without_boundary_is_accepted(make: Make) -> None:
    assert make().send([b""], "multipart/form-data").status == 200


def test_requests_without_files_are_untouched(make: Make) -> None:
    driver = make()
    for content_type in ("application/json", "text/plain"):
        found = driver.send([b"{}"], content_type)
        assert (found.status, found.received, found.findings) == (200, b"{}", None)
    found = driver.send([b"password=secret"], "application/x-www-form-urlencoded")
    assert (found.status, found.received, found.findings.files) == (200, b"password=secret", [])


def test_raw_bodies_are_files_where_the_developer_says_so(make: Make) -> None:
    driver = make(raw=[RawBody({"PUT"}, ["/files/*"], ["*"])])
    sent = {
        path: driver.send([KNOWN], "text/plain", method="PUT", path=path).status
        for path in ("/files/a", "/other/a")
    }
    assert sent == {"/files/a": 403, "/other/a": 200}


PARTIAL: list[tuple[str, dict[str, Any]]] = [
    ("tus", {"headers": [("Tus-Resumable", "1.0.0")]}),
    ("Content-Range", {"headers": [("Content-Range", "bytes 0-9/20")]}),
    ("S3 multipart upload", {"query": "partNumber=2&uploadId=VXBsb2Fk"}),
    ("WebDAV chunking", {"headers": [("OC-Chunked", "1")]}),
    ("WebDAV chunking", {"path": "/remote.php/dav/uploads/alice/1/00001"}),
]


@pytest.mark.parametrize(("protocol", "more"), PARTIAL)
def test_partial_protocols_are_logged_once_and_pass_by_path(
    make: Make, caplog: pytest.LogCaptureFixture, protocol: str, more: dict[str, Any]
) -> None:
    driver = make(partial_paths=("/parts/*", "/remote.php/*"))
    more = {"path": "/parts/1", **more}
    for _ in range(2):
        found = driver.send([KNOWN], "application/octet-stream", method="PUT", **more)
        assert (found.status, found.received) == (200, KNOWN)
    assert caplog.text.count(f"({protocol})") == 1
    elsewhere = {**more, "path": "/upload", "headers": [("Tus-Resumable", "1.0.0")]}
    found = driver.send([KNOWN], "application/octet-stream", method="PUT", **elsewhere)
    assert found.status == 403  # a header that any client can send disables nothing
