"""Bodies that two applications read differently are refused, or checked in both readings."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import quote_plus, urlencode

import pytest

from hashwacht_plugins.asgi import HashwachtMiddleware
from hashwacht_plugins.policy import Policy
from hashwacht_plugins.request_body import RawBody
from support.plugins.upload_drivers import AsgiDriver
from support.plugins.upload_forms import field_part, file_part, form
from support.plugins.uploads import knowing

KNOWN = b"P3\n64 48\n255\n" + b"1 2 3 " * 1000
"""A picture of plain text: valid base64 and UTF-8, and not a short text."""

SMALL = b"BM\0\0 a picture whose bytes are all below 128"
OTHER = b"other content"
GZIP = gzip.compress(b"<svg/>", mtime=0)
DEFLATE = zlib.compress(b"<svg/>")
LATIN = "GIF89a\0 \u00e4\u00f6\u00fc".encode()
TYPE = "multipart/form-data; boundary="
URLENCODED = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def driver() -> Iterator[AsgiDriver]:
    with knowing(KNOWN, SMALL, GZIP, DEFLATE, LATIN, b"<svg/>") as checker:
        driver = AsgiDriver(lambda app: HashwachtMiddleware(app, checker=checker))
        yield driver
        driver.close()


def status(
    driver: AsgiDriver,
    body: bytes,
    boundary: str = "edge-of-part",
    *,
    content_type: str = "",
    headers: Sequence[tuple[str, str]] = (),
) -> int:
    """Send *body* whole and byte by byte; return the status of both."""
    content_type = content_type or TYPE + boundary
    whole = driver.send([body], content_type, headers=headers)
    bytewise = driver.send(
        [body[i : i + 1] for i in range(len(body))], content_type, headers=headers
    )
    assert whole.status == bytewise.status
    return whole.status


def status_of_known(known: bytes, body: bytes, **settings: Any) -> int:
    """Send *body* through a middleware with these settings that knows one content."""
    with knowing(known) as checker:
        driver = AsgiDriver(lambda app: HashwachtMiddleware(app, checker=checker, **settings))
        with closing(driver):
            return status(driver, body)


def edged(*parts: tuple[bytes, bytes], boundary: bytes = b"edge-of-part") -> bytes:
    return form(*parts, boundary=boundary)


@pytest.mark.parametrize("character", ",/:=?()' \t;\"\\%*\x7f\xe9")
def test_a_boundary_that_parsers_end_early_is_refused(driver: AsgiDriver, character: str) -> None:
    boundary = f"B1{character}x"
    body = edged(file_part(OTHER), boundary=boundary.encode("latin-1"))
    assert status(driver, body, boundary) == 400


@pytest.mark.parametrize(
    "content_type",
    [
        'multipart/form-data; boundary="edge-of-part"; boundary=other',
        "multipart/form-data; x=y; boundary*0=edge; boundary*1=-of-part",
        "multipart/form-data; boundary = edge-of-part",
        "multipart/form-data; boundary='edge-of-part'",
        'multipart/form-data; boundary="edge-\\of-part"',
        'multipart/form-data; x="; boundary=other"; boundary=edge-of-part',
        "multipart/form-data, multipart/form-data; boundary=edge-of-part",
        "multipart/form-data; boundary=edge-of-part, text/plain",
        "multipart/digest; boundary=edge-of-part",
        "multipart/form-data; boundary=edge-of-part; charset=utf-16",
        "multipart/form-data; boundary=----",
    ],
)
def test_an_ambiguous_content_type_is_refused(driver: AsgiDriver, content_type: str) -> None:
    assert status(driver, edged(file_part(OTHER)), content_type=content_type) == 400


@pytest.mark.parametrize(
    "content_type",
    [
        'multipart/form-data; boundary="edge-of-part"',
        "Multipart/Form-Data;BOUNDARY=edge-of-part",
        "multipart/form-data; charset=UTF-8; boundary=edge-of-part;",
        'multipart/related; type="application/json"; start="<a@b>"; boundary=edge-of-part',
    ],
)
def test_what_clients_send_is_accepted(driver: AsgiDriver, content_type: str) -> None:
    assert status(driver, edged(file_part(OTHER)), content_type=content_type) == 200
    assert status(driver, edged(file_part(SMALL)), content_type=content_type) == 403


def test_a_quoted_boundary_of_a_mail_library_is_accepted(driver: AsgiDriver) -> None:
    boundary = "===============8301=="
    for content, expected in ((OTHER, 200), (SMALL, 403)):
        body = edged(file_part(content), boundary=boundary.encode())
        assert status(driver, body, f'"{boundary}"') == expected


def test_the_boundary_inside_content_is_refused(driver: AsgiDriver) -> None:
    """Sanic splits there, without the hyphens of a delimiter."""
    text = field_part(b"hello edge-of-part\r\n" + file_part(SMALL)[0] + b"\r\n\r\n" + SMALL)
    assert status(driver, edged(text)) == 400
    assert status(driver, edged(field_part(b"x", b"edge-of-part"), file_part(OTHER))) == 400


@pytest.mark.parametrize("name", [b"Content_Disposition", b"X_A", b"X.A", b"X+A", b"X!"])
def test_a_header_name_that_frameworks_normalize_is_refused(
    driver: AsgiDriver, name: bytes
) -> None:
    head = file_part(SMALL)[0].replace(b"Content-Disposition", name)
    assert status(driver, edged((head, SMALL))) == 400


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Encoding: gzip",
        b"Content-Transfer-Encoding: quoted-printable",
        b"Content-Length: 4",
        b"Content-Length: +13",
        b"X-A: b\x0cc",
        b"Content-Type: message/rfc822",
    ],
)
def test_a_part_that_some_parsers_transform_is_refused(driver: AsgiDriver, header: bytes) -> None:
    part = (b'Content-Disposition: form-data; name="f"\r\n' + header, OTHER)
    assert status(driver, edged(part)) == 400


def test_a_true_length_of_a_part_is_accepted(driver: AsgiDriver) -> None:
    head = file_part(OTHER)[0] + b"\r\nContent-Length: %d" % len(OTHER)
    assert status(driver, edged((head, OTHER))) == 200


@pytest.mark.parametrize("content", [SMALL, KNOWN])
def test_a_field_that_may_be_a_file_is_checked(driver: AsgiDriver, content: bytes) -> None:
    assert status(driver, edged(field_part(content))) == 403


def test_short_text_is_never_hashed(driver: AsgiDriver) -> None:
    sent = driver.send(
        [edged(field_part(b"secret"), field_part(b"\xe4\r\n\tx"))], TYPE + "edge-of-part"
    )
    assert (sent.status, sent.findings.files) == (200, [])


def test_a_field_is_checked_as_fastapi_encodes_it_again(driver: AsgiDriver) -> None:
    as_latin = LATIN.decode().encode("latin-1")
    assert status(driver, edged(field_part(as_latin))) == 403
    twice = LATIN.decode("latin-1").encode()
    assert status(driver, edged(field_part(twice))) == 200  # is UTF-8, and comes as it was sent
    mislabelled = "multipart/form-data; charset=latin-1; boundary=edge-of-part"
    ours = LATIN.decode().encode("latin-1")
    assert status(driver, edged(field_part(ours)), content_type=mislabelled) == 403


def test_a_name_in_the_content_type_is_a_file_name() -> None:
    head = b'Content-Disposition: form-data; name="f"\r\nContent-Type: text/plain; name=a'
    assert status_of_known(b"abc", edged((head, b"abc"))) == 403


def test_base64_is_checked_as_it_came_and_decoded(driver: AsgiDriver) -> None:
    head = file_part(b"")[0] + b"\r\nContent-Transfer-Encoding: base64"
    text = KNOWN.translate(None, b" \n")
    assert status_of_known(text, edged((head, text))) == 403
    assert status(driver, edged((head, b"PHN2Zy8+"))) == 403


@pytest.mark.parametrize("content", [GZIP, DEFLATE, gzip.compress(b"<svg/>", 1, mtime=1)])
def test_a_compressed_body_is_checked_as_it_came_and_decoded(
    driver: AsgiDriver, content: bytes
) -> None:
    headers = [("Content-Encoding", "gzip")]
    assert status(driver, content, content_type="image/svg+xml", headers=headers) == 403
    other = gzip.compress(OTHER)
    assert status(driver, other, content_type="image/svg+xml", headers=headers) == 200


def test_a_compressed_body_over_the_limit_is_checked_as_it_came() -> None:
    content = gzip.compress(b"0" * 5000, mtime=0)
    headers = [("Content-Encoding", "gzip")]
    with knowing(content) as checker:
        policy = Policy(max_decoded=1000)
        driver = AsgiDriver(lambda app: HashwachtMiddleware(app, checker=checker, policy=policy))
        with closing(driver):
            assert status(driver, content, content_type="image/x", headers=headers) == 403
            other = gzip.compress(b"1" * 5000)
            assert status(driver, other, content_type="image/x", headers=headers) == 200


def test_a_form_is_also_a_file_where_bodies_are_files() -> None:
    body = edged(file_part(OTHER))
    assert status_of_known(body, body, raw=[RawBody(types=["*"])]) == 403


def test_a_body_without_its_end_is_refused(driver: AsgiDriver) -> None:
    body = edged(file_part(OTHER))
    for end in (len(body) - 4, len(body) - 20, 60):
        assert status(driver, body[:end]) == 400
    assert status(driver, edged(file_part(SMALL))[:-20]) == 403
    assert status(driver, body[:-2]) == 200


@pytest.mark.parametrize("content", [KNOWN, SMALL, LATIN])
def test_a_url_encoded_field_that_may_be_a_file_is_checked(
    driver: AsgiDriver, content: bytes
) -> None:
    """FastAPI's ``bytes = File()`` accepts one."""
    for body in (b"a=b&f=" + quote_plus(content).encode(), urlencode({"f": content}).encode()):
        assert status(driver, body + b"&c=d", content_type=URLENCODED) == 403
    assert status(driver, b"f=" + quote_plus(OTHER * 500).encode(), content_type=URLENCODED) == 200


@pytest.mark.parametrize("field", [b"%00;x", b"%00\xc3\xa4", b"%00%FF", b"%00%C3"])
def test_an_ambiguous_url_encoded_file_is_refused(driver: AsgiDriver, field: bytes) -> None:
    assert status(driver, b"f=" + field, content_type=URLENCODED) == 400
    assert status(driver, b"f=" + field.replace(b"%00", b"0"), content_type=URLENCODED) == 200
