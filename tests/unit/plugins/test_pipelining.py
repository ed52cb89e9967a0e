"""Pipelined requests, cut anywhere, with the protocol class of a real server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from hashwacht import Checker
from hashwacht_plugins.asgi import HashwachtMiddleware
from support.plugins.upload_forms import MULTIPART, cut, file_part, form
from support.plugins.uploads import KNOWN, knowing


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    with knowing(KNOWN) as checker:
        yield checker


class Wire(asyncio.Transport):
    """Collects what the server writes; closing it ends the connection."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 4711), "sockname": ("192.0.2.2", 80)})
        self.written = b""

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        return

    def pause_reading(self) -> None:
        return

    def resume_reading(self) -> None:
        return

    def set_write_buffer_limits(self, *_: Any, **__: Any) -> None:
        return


class Site:
    """An application behind the middleware, and the bodies it received."""

    def __init__(self, checker: Checker) -> None:
        self.received: list[bytes] = []
        app = HashwachtMiddleware(self._application, checker=checker)
        self._config = Config(app, http="h11", lifespan="off", log_level="critical")
        self._config.load()

    async def _application(self, _: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
        self.received.append(body)
        head = [(b"content-length", b"6")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": b"stored"})

    async def statuses(self, pieces: Sequence[bytes]) -> list[bytes]:
        """Send these pieces one after the other; return the statuses of the responses."""
        self.received.clear()
        state, wire = ServerState(), Wire()
        protocol = H11Protocol(self._config, state, app_state={})
        protocol.connection_made(wire)
        for piece in pieces:
            protocol.data_received(piece)
            await asyncio.sleep(0)
        while state.tasks:  # each starts the next one when it ends
            await asyncio.wait(state.tasks)
            await asyncio.sleep(0)
        protocol.connection_lost(None)
        return re.findall(rb"HTTP/1\.1 (\d+)", wire.written)


def request(body: bytes, *, chunked: bool) -> bytes:
    head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: {MULTIPART}\r\n".encode()
    if not chunked:
        return head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    half = len(body) // 2
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in (body[:half], body[half:]))
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "chunked"])
def test_pipelined_requests_get_their_own_verdicts(checker: Checker, chunked: bool) -> None:
    bodies = [form(file_part(content)) for content in (b"other", KNOWN, b"third")]
    body = b"".join(request(body, chunked=chunked) for body in bodies)
    site = Site(checker)
    with asyncio.Runner() as loop:
        for place in range(1, len(body)):
            assert loop.run(site.statuses(cut(body, place))) == [b"200", b"403", b"200"], place
            assert site.received == [bodies[0], bodies[2]]
