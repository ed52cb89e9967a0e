"""The middleware with requests of every kind, over ASGI and WSGI alike."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import io
import json
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import wait
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from hashwacht import Checker, CheckResult, ConfigurationError, Outcome, Reason, UploadContext
from hashwacht.storage.uploads import UploadRecords
from hashwacht.testing.fakes import KnowingMatcher
from hashwacht_plugins import asgi, held_bytes, upload, wsgi
from hashwacht_plugins.context import ClientInfo
from hashwacht_plugins.multipart.body import RawBody, body_reader_for
from hashwacht_plugins.multipart.events import RequestHead
from hashwacht_plugins.policy import OnMatch, OnUndetermined, Policy, RefusalResponse, UploadAction
from support.plugins.upload_drivers import AsgiDriver, ChunkedInput, WsgiDriver
from support.plugins.upload_forms import MULTIPART, cut, field_part, file_part, form
from support.plugins.uploads import Gate, descriptors, opened
from support.processes import wait_for

KNOWN = b"known bytes" * 3
OTHER = b"other bytes"
KEY = hashlib.sha256(KNOWN).hexdigest()

Make = Callable[..., Any]


@pytest.fixture(params=["asgi", "wsgi"])
def make(
    request: pytest.FixtureRequest, checker: Checker, matcher: KnowingMatcher
) -> Iterator[Make]:
    """Return a function that wraps an application in the middleware with these settings."""
    matcher.known.add(KEY)
    loops: list[AsgiDriver] = []

    def made(**more: Any) -> AsgiDriver | WsgiDriver:
        given = {"checker": checker, **more}
        if request.param == "wsgi":
            return WsgiDriver(lambda app: wsgi.HashwachtMiddleware(app, **given))
        loops.append(AsgiDriver(lambda app: asgi.HashwachtMiddleware(app, **given)))
        return loops[-1]

    yield made
    for each in loops:
        each.close()


def test_a_match_is_refused_with_a_text_that_names_no_list(make: Make) -> None:
    found = make().send([form(file_part(KNOWN))])
    assert (found.status, found.complete) == (403, False)
    assert found.body == b"This upload cannot be accepted.\n"
    assert found.headers["content-length"] == str(len(found.body))
    assert b"knows" not in found.body


def test_the_refusal_can_be_configured(make: Make) -> None:
    refusal = RefusalResponse.problem(451, "Not accepted", instance="/case")
    assert refusal.headers == ()
    policy = Policy(
        refused=RefusalResponse(451, refusal.body, refusal.content_type, (("X-Why", "no"),))
    )
    found = make(policy=policy).send([form(file_part(KNOWN))])
    assert (found.status, found.headers["x-why"]) == (451, "no")
    assert found.headers["content-type"] == "application/problem+json"
    assert json.loads(found.body)["status"] == 451


def test_a_refusal_may_have_any_status(make: Make) -> None:
    assert (
        make(policy=Policy(refused=RefusalResponse(499, b""))).send([form(file_part(KNOWN))]).status
        == 499
    )


def test_on_hold_the_application_gets_content_and_findings(make: Make) -> None:
    sent = form(field_part(b"x"), file_part(KNOWN, b"n.jpg", b"f"), file_part(OTHER))
    found = make(policy=Policy(on_match=OnMatch.HOLD)).send([sent])
    assert (found.status, found.received) == (200, sent)
    assert found.findings.action is UploadAction.HOLD
    assert [(f.field, f.file_name, f.result.outcome) for f in found.findings.files] == [
        ("f", "n.jpg", Outcome.MATCH),
        ("file", "a.jpg", Outcome.NO_MATCH),
    ]


def test_on_observe_it_is_logged_and_kept_and_nothing_else(
    make: Make, caplog: pytest.LogCaptureFixture, uploads: UploadRecords
) -> None:
    found = make(policy=Policy(on_match=OnMatch.OBSERVE)).send([form(file_part(KNOWN, b"secret"))])
    assert (found.status, found.findings.action) == (200, UploadAction.ALLOW)
    assert "knows" in caplog.text
    assert "secret" not in caplog.text
    assert list(uploads.keys()) == [KEY]


@pytest.mark.parametrize(
    ("on_undetermined", "status", "action"),
    [
        (OnUndetermined.ALLOW, 200, UploadAction.ALLOW),
        (OnUndetermined.HOLD, 200, UploadAction.HOLD),
        (OnUndetermined.REJECT, 503, None),
    ],
)
def test_undetermined_uploads_follow_the_policy_and_are_kept(  # noqa: PLR0917  # a table
    make: Make,
    matcher: KnowingMatcher,
    uploads: UploadRecords,
    on_undetermined: OnUndetermined,
    status: int,
    action: UploadAction | None,
) -> None:
    matcher.silent = True
    found = make(policy=Policy(on_undetermined=on_undetermined)).send([form(file_part(OTHER))])
    assert found.status == status
    assert (found.findings.action if found.findings else None) is action
    assert list(uploads.keys()) == [hashlib.sha256(OTHER).hexdigest()]


def test_the_time_limit_ends_the_waiting_but_not_the_check(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    slow = Gate(KNOWN)
    with Checker(lambda: slow, threads=1) as checker:
        found = make(checker=checker, policy=Policy(timeout=0.05)).send([form(file_part(KNOWN))])
        assert not slow.done.is_set()
        assert (found.status, found.findings.files[0].result.reason) == (200, Reason.TIMED_OUT)
        slow.open.set()
        assert slow.done.wait(10)
    assert f"an upload matched after the timeout: {KEY}" in caplog.text


def test_a_workplace_that_breaks_is_undetermined(make: Make) -> None:
    class Broken(Gate):
        def check(self, *_: Any, **__: Any) -> CheckResult:
            raise ZeroDivisionError

    with Checker(Broken) as checker:
        found = make(checker=checker).send([form(file_part(KNOWN))])
    assert found.findings.files[0].result.reason is Reason.HASHER_FAILED


def test_memory_is_bounded_while_verdicts_are_pending() -> None:
    """Slow verdicts, many files and a long tail: reading stops at the window."""
    slow = Gate()
    sent = form(
        *[file_part(b"%d" % n * 5000) for n in range(100)], *[field_part(b"x" * 4000)] * 500
    )
    request = RequestHead("POST", "/", "", {"content-type": MULTIPART})
    parts = body_reader_for(request, (), 0)
    assert parts is not None
    passed, most = b"", 0
    with Checker(lambda: slow, threads=1) as checker:
        held = upload.UploadInspection(parts, Policy(), checker, lambda _: UploadContext("now"))
        for chunk in cut(sent, *range(0, len(sent), 60_000)):
            held.receive(chunk)
            most = max(most, held.held)
            if held.must_wait:
                slow.open.set()
                wait(held.pending, 10)
                held.settle(0.0)
                slow.open.clear()
            passed += held.passable()
            assert len(held.pending) <= upload.MAX_PENDING_FILES
        held.close()
        slow.open.set()
    assert sent.startswith(passed)
    assert held_bytes.TAIL <= len(sent) - len(passed) < held_bytes.TAIL + 60_000
    assert most <= held_bytes.WINDOW + 2 * 60_000


def test_thousands_of_parts_are_seen_up_to_the_limit(make: Make) -> None:
    parts = [field_part(b"v")] * 3000 + [file_part(b"%d" % n) for n in range(30)]
    found = make(policy=Policy(max_files=20)).send([form(*parts)])
    assert found.status == 200
    assert [f.result.outcome for f in found.findings.files].count(Outcome.NO_MATCH) == 20
    assert [f.result.reason for f in found.findings.files].count(Reason.OVER_LIMIT) == 1


def test_a_file_over_the_limit_is_undetermined_and_takes_no_room(make: Make) -> None:
    before = descriptors()
    found = make(policy=Policy(max_bytes=100)).send([form(file_part(b"x" * 101), file_part(OTHER))])
    assert [f.result.reason for f in found.findings.files] == [Reason.OVER_LIMIT, None]
    assert descriptors() <= before + 10  # descriptors of the storage


def test_no_room_for_the_spool_is_undetermined(make: Make, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    policy = Policy(spool=str(spool), on_undetermined=OnUndetermined.REJECT)
    with pytest.raises(ConfigurationError, match="spool"):
        make(policy=policy)
    spool.mkdir()
    driver = make(policy=policy)
    spool.rmdir()
    assert driver.send([form(file_part(KNOWN))]).status == 503


def test_nothing_is_left_in_the_spool_directory(make: Make, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    driver = make(policy=Policy(spool=str(spool)))
    driver.send([form(file_part(KNOWN))])
    driver.send([form(file_part(OTHER))[:-60]])
    assert list(spool.iterdir()) == []
    assert not [each for each in opened() if each.startswith(str(spool))]


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


def test_the_upload_context_is_kept_with_the_case(make: Make, uploads: UploadRecords) -> None:
    client_info = ClientInfo(user=lambda surroundings: "alice" if surroundings else "")
    make(client_info=client_info).send(
        [form(file_part(KNOWN, b"my holiday.jpg", b"picture"))], path="/new"
    )
    (told,) = uploads.load(KEY)
    assert (told.address, told.port, told.user, told.path) == ("192.0.2.1", 4711, "alice", "/new")
    assert (told.file_name, told.field, told.declared_type) == (
        "my holiday.jpg",
        "picture",
        "image/jpeg",
    )
    assert told.received_at[-6] in "+-"  # with its time zone


def test_no_request_data_reaches_a_matcher(make: Make, matcher: KnowingMatcher) -> None:
    make().send([form(file_part(OTHER, b"my holiday.jpg"))], path="/new")
    assert matcher.asked == [hashlib.sha256(OTHER).hexdigest()]


@pytest.mark.parametrize(
    ("trusted", "header", "address", "port"),
    [
        ((), "198.51.100.7", "192.0.2.1", 4711),
        (("192.0.2.0/24",), "198.51.100.7", "198.51.100.7", None),
        (("192.0.2.0/24",), "203.0.113.9, 198.51.100.7, 192.0.2.9", "198.51.100.7", None),
        (("192.0.2.0/24",), "198.51.100.7, nonsense", "192.0.2.1", 4711),
        (("192.0.2.0/24",), "", "192.0.2.1", 4711),
        (("10.0.0.0/8",), "198.51.100.7", "192.0.2.1", 4711),
        (("unix",), "198.51.100.7", "192.0.2.1", 4711),
        (("192.0.2.0/24",), "198.51.100.7:50123", "198.51.100.7", 50123),
        (("192.0.2.0/24",), "[2001:db8::7]:50123, ::ffff:192.0.2.8", "2001:db8::7", 50123),
        (("192.0.2.0/24",), "[2001:db8::7]", "2001:db8::7", None),
    ],
)
def test_forwarded_addresses_need_a_trusted_proxy(  # noqa: PLR0917  # a table
    make: Make,
    uploads: UploadRecords,
    trusted: tuple[str, ...],
    header: str,
    address: str,
    port: int,
) -> None:
    driver = make(client_info=ClientInfo(trusted_proxies=trusted))
    driver.send([form(file_part(KNOWN))], headers=[("X-Forwarded-For", header)])
    (told,) = uploads.load(KEY)
    assert (told.address, told.port) == (address, port)


@pytest.mark.parametrize("trusted", [("unix",), ()])
def test_over_a_unix_socket_a_proxy_is_trusted_by_that_word(
    make: Make, uploads: UploadRecords, trusted: tuple[str, ...]
) -> None:
    forwarded = [("X-Forwarded-For", "198.51.100.7")]
    driver = make(client_info=ClientInfo(trusted_proxies=trusted))
    driver.send([form(file_part(KNOWN))], headers=forwarded, client=("", 0))
    (told,) = uploads.load(KEY)
    assert (told.address, told.port) == ("198.51.100.7" if trusted else "", None)


def test_an_address_of_ipv4_is_one_on_an_ipv6_socket_too(
    make: Make, uploads: UploadRecords
) -> None:
    forwarded = [("X-Forwarded-For", "198.51.100.7")]
    driver = make(client_info=ClientInfo(trusted_proxies=["10.0.0.0/8"]))
    for client in ("::ffff:10.1.2.3", "::ffff:11.1.2.3"):
        driver.send([form(file_part(KNOWN))], headers=forwarded, client=(client, 4711))
    assert [each.address for each in uploads.load(KEY)] == ["198.51.100.7", "11.1.2.3"]


@pytest.mark.parametrize(("user", "told"), [(None, ""), (7, "7"), ("", "")])
def test_a_user_may_be_any_value_or_none(
    make: Make, uploads: UploadRecords, user: object, told: str
) -> None:
    make(client_info=ClientInfo(user=lambda _: user)).send([form(file_part(KNOWN))])
    assert [each.user for each in uploads.load(KEY)] == [told]


def test_an_async_callback_is_refused_at_once() -> None:
    async def user(_: object) -> str:
        return "alice"

    with pytest.raises(TypeError, match="coroutine function"):
        ClientInfo(user=user)


def test_one_text_where_several_are_wanted_is_refused_at_once(checker: Checker) -> None:
    """Each of its letters would count, and an asterisk would match everything."""
    for wrong in (
        lambda: ClientInfo(trusted_proxies="unix"),
        lambda: RawBody(paths="/files/*"),
        lambda: RawBody(types="image/*"),
        lambda: asgi.HashwachtMiddleware(print, checker=checker, partial_paths="/files/*"),  # type: ignore[arg-type]  # never called
    ):
        with pytest.raises(TypeError, match="list of strings"):
            wrong()


def test_methods_and_types_may_be_written_in_any_case(make: Make) -> None:
    driver = make(raw=[RawBody(methods=["put"], types=["Text/*"])])
    assert driver.send([KNOWN], "text/plain", method="PUT").status == 403


def test_a_callback_that_fails_does_not_let_the_upload_through(make: Make) -> None:
    client_info = ClientInfo(user=lambda surroundings: surroundings["no such key"])
    assert make(client_info=client_info).send([form(file_part(KNOWN))]).status == 403


def test_what_is_no_network_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="not appear"):
        ClientInfo(trusted_proxies=("everybody",))


# Features of only one interface.


@pytest.fixture
def over_asgi(checker: Checker, matcher: KnowingMatcher) -> Iterator[AsgiDriver]:
    matcher.known.add(KEY)
    driver = AsgiDriver(lambda app: asgi.HashwachtMiddleware(app, checker=checker))
    yield driver
    driver.close()


def test_a_client_that_vanishes_leaves_nothing(over_asgi: AsgiDriver) -> None:
    over_asgi.send([form(file_part(OTHER))])  # opens what stays open
    before = descriptors()
    sent = form(file_part(OTHER * 1000), file_part(OTHER * 1000))
    for end in (300, 9000, len(sent) - 70, len(sent)):
        found = over_asgi.send(cut(sent[:end], 200), vanish=True)
        assert (found.status, found.complete) == (0, False)
    wait_for(lambda: descriptors() == before)  # running checks end on their own


def test_websockets_and_lifespan_are_untouched(checker: Checker) -> None:
    seen: list[Any] = []

    async def app(*connection: Any) -> None:
        seen.append(connection)

    async def receive() -> dict[str, Any]:
        return {}

    async def send(_: Any) -> None:
        return

    middleware = asgi.HashwachtMiddleware(app, checker=checker)
    for kind in ("websocket", "lifespan"):
        scope = {"type": kind}
        asyncio.run(middleware(scope, receive, send))
        assert seen.pop() == ({"type": kind}, receive, send)


@pytest.mark.parametrize(
    "reader",
    [
        lambda stream: iter(stream.readline, b""),
        lambda stream: stream,
        lambda stream: stream.readlines(),
        lambda stream: iter(lambda: stream.read(7), b""),
        lambda stream: iter(lambda: stream.read1(100), b""),
        lambda stream: [bytes(_filled(stream))],
    ],
    ids=["readline", "iteration", "readlines", "read(7)", "read1", "readinto"],
)
@pytest.mark.parametrize("length", [-1, None])
def test_every_way_to_read_the_input_gives_the_same_bytes(
    checker: Checker,
    matcher: KnowingMatcher,
    reader: Callable[[Any], Iterable[bytes]],
    length: int | None,
) -> None:
    matcher.known.add(KEY)
    driver = WsgiDriver(lambda app: wsgi.HashwachtMiddleware(app, checker=checker), reader)
    sent = form(file_part(b"line\n" * 3000), field_part(b"x"))
    found = driver.send(cut(sent, 100, 5000), length=length)
    assert (found.status, found.received) == (200, sent)
    assert driver.send([form(file_part(KNOWN))], length=length).status == 403


def _filled(stream: io.BufferedReader) -> bytearray:
    filled, buffer = bytearray(), bytearray(1000)
    while count := stream.readinto(buffer):
        filled += buffer[:count]
    return filled


def test_wrong_and_missing_lengths(checker: Checker, matcher: KnowingMatcher) -> None:
    """If too long, the body ends where it ends; if short or missing, nothing beyond is read."""
    matcher.known.add(KEY)
    driver = WsgiDriver(lambda app: wsgi.HashwachtMiddleware(app, checker=checker))
    sent = form(file_part(OTHER))
    assert driver.send([sent], length=len(sent) + 50).received == sent
    assert driver.send([sent], length=len(sent) - 2).received == sent[:-2]
    for wrong in ("", "ten", "-1", "0"):
        assert driver.send([b""], length=wrong).status == 200
    assert driver.send([form(file_part(KNOWN))], length=9999).status == 403


def test_an_error_handler_cannot_hide_the_refusal(
    checker: Checker, matcher: KnowingMatcher
) -> None:
    matcher.known.add(KEY)
    closed: list[bool] = []

    class Answer(list[bytes]):
        def close(self) -> None:
            closed.append(True)

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        try:
            environ["wsgi.input"].read()
        except OSError:
            start_response("500 Oops", [])
            return Answer([b"oops"])
        raise AssertionError

    heads: list[str] = []
    sent = form(file_part(KNOWN))
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/",
        "CONTENT_TYPE": MULTIPART,
        "CONTENT_LENGTH": str(len(sent)),
        "wsgi.input": ChunkedInput([sent]),
    }
    middleware = wsgi.HashwachtMiddleware(app, checker=checker)

    def start_response(status: str, *_: Any) -> Callable[[bytes], object]:
        heads.append(status)
        return lambda _: None

    answer = middleware(environ, start_response)
    assert (list(answer), heads, closed) == (
        [b"This upload cannot be accepted.\n"],
        ["403 Forbidden"],
        [True],
    )


def test_errors_of_the_application_pass_through(checker: Checker) -> None:
    def app(environ: Any, _: Any) -> Iterable[bytes]:
        environ["wsgi.input"].read()
        raise LookupError("its own")

    sent = form(file_part(OTHER))
    environ = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": MULTIPART,
        "CONTENT_LENGTH": str(len(sent)),
        "wsgi.input": ChunkedInput([sent]),
    }
    middleware = wsgi.HashwachtMiddleware(app, checker=checker)
    with pytest.raises(LookupError, match="its own"):
        list(middleware(environ, lambda *_: lambda _: None))


def test_a_refusal_is_the_first_response_of_the_server(
    checker: Checker, matcher: KnowingMatcher
) -> None:
    """Granian ignores a second start_response, which PEP 3333 allows before the first bytes."""
    matcher.known.add(KEY)

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        write = start_response("201 Created", [])
        yield b""
        with suppress(OSError):
            environ["wsgi.input"].read()
        write(b"stored ")
        yield b"it"

    driver = WsgiDriver(lambda _: wsgi.HashwachtMiddleware(app, checker=checker))
    first = driver.send([form(file_part(KNOWN))], first_response_only=True)
    assert (first.status, first.body) == (403, b"This upload cannot be accepted.\n")
    accepted = driver.send([form(file_part(OTHER))], first_response_only=True)
    assert (accepted.status, accepted.body) == (201, b"stored it")


def test_a_refusal_replaces_a_response_that_has_only_started(over_asgi: AsgiDriver) -> None:
    sent = over_asgi.send([form(file_part(KNOWN))], start_early=True)
    assert (sent.status, sent.body) == (403, b"This upload cannot be accepted.\n")
    sent = over_asgi.send([form(file_part(OTHER))], start_early=True)
    assert (sent.status, sent.body) == (200, b"stored")
