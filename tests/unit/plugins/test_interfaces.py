"""What only one of the interfaces has, ASGI or WSGI."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from hashwacht import Checker
from hashwacht.testing.fakes import KnowingMatcher
from hashwacht_plugins import asgi, wsgi
from support.plugins.upload_drivers import AsgiDriver, ChunkedInput, WsgiDriver
from support.plugins.upload_forms import MULTIPART, cut, field_part, file_part, form
from support.plugins.uploads import KNOWN, descriptors
from support.processes import wait_for

OTHER = b"other bytes"
KEY = hashlib.sha256(KNOWN).hexdigest()


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
