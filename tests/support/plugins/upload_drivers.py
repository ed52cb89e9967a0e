"""Drivers that call ASGI and WSGI applications directly, without a server.

A test thus decides where a body is cut; other tests use real servers.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from support.plugins.upload_forms import MULTIPART

AsgiApp = Callable[..., Awaitable[None]]
WsgiApp = Callable[..., Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a request."""

    content_type: str
    method: str = "POST"
    path: str = "/upload"
    query: str = ""
    headers: Sequence[tuple[str, str]] = ()
    client: tuple[str, int] = ("192.0.2.1", 4711)


@dataclass
class Outcome:
    """The result of one request: the response, the body the application read, and the findings.

    *complete*: the application read to the end of the body.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    pieces: list[bytes] = field(default_factory=list)
    complete: bool = False
    findings: Any = None

    @property
    def received(self) -> bytes:
        """The body that the application read."""
        return b"".join(self.pieces)


class AsgiDriver:
    """Sends requests to a small application, wrapped by *wrap*, that reads everything."""

    def __init__(self, wrap: Callable[[AsgiApp], AsgiApp]) -> None:
        """Wrap once: the middleware is one object for all requests."""
        self._app = wrap(self._application)
        self._now = Outcome()
        self._start_early = False
        self._loop = asyncio.Runner()

    def close(self) -> None:
        """Close the event loop."""
        self._loop.close()

    async def _application(self, scope: Any, receive: Any, send: Any) -> None:
        now = self._now
        if self._start_early:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        while not now.complete:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionError("the client is gone")
            now.pieces.append(message.get("body", b""))
            now.complete = not message.get("more_body", False)
        now.findings = scope.get("hashwacht")
        if not self._start_early:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"stored"})

    def send(
        self,
        chunks: Sequence[bytes],
        content_type: str = MULTIPART,
        *,
        vanish: bool = False,
        start_early: bool = False,
        **more: Any,
    ) -> Outcome:
        """Send one request; *more* as in Head.

        *vanish*: the client goes after the last chunk without an end.  *start_early*: the
        application starts its response before it reads.
        """
        self._now = now = Outcome()
        self._start_early = start_early
        head = Head(content_type, **more)
        headers = [("content-type", head.content_type), *head.headers]
        scope = {
            "type": "http",
            "method": head.method,
            "path": head.path,
            "query_string": head.query.encode("latin-1"),
            "headers": [(n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in headers],
            "client": head.client,
        }
        left = list(chunks)

        async def receive() -> MutableMapping[str, Any]:
            if not left:
                return {"type": "http.disconnect"}
            chunk = left.pop(0)
            return {"type": "http.request", "body": chunk, "more_body": bool(left) or vanish}

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                now.status = message["status"]
                now.headers = {n.decode(): v.decode() for n, v in message["headers"]}
            else:
                now.body += message.get("body", b"")

        self._loop.run(_run(self._app, scope, receive, send))
        return now


async def _run(app: AsgiApp, *connection: Any) -> None:
    try:
        await app(*connection)
    except ConnectionError:
        return  # as a server accepts it


class ChunkedInput(io.RawIOBase):
    """A ``wsgi.input`` that returns its chunks one by one, and never more than requested."""

    def __init__(self, chunks: Sequence[bytes]) -> None:
        """Store the chunks."""
        self._chunks = [chunk for chunk in chunks if chunk]

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Return one chunk, or as much of it as requested."""
        if not self._chunks:
            return b""
        chunk = self._chunks.pop(0)
        limit = len(chunk) if size < 0 else size
        if chunk[limit:]:
            self._chunks.insert(0, chunk[limit:])
        return chunk[:limit]


def read_all(stream: Any) -> Iterable[bytes]:
    """Read everything at once, as most frameworks do."""
    yield stream.read()


class WsgiDriver:
    """Like AsgiDriver; *reader* is how the application reads its input."""

    def __init__(
        self,
        wrap: Callable[[WsgiApp], WsgiApp],
        reader: Callable[[Any], Iterable[bytes]] = read_all,
    ) -> None:
        """Wrap once."""
        self._app = wrap(self._application)
        self._reader = reader
        self._now = Outcome()

    def _application(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        now = self._now
        for chunk in self._reader(environ["wsgi.input"]):
            now.pieces.append(chunk)
        now.complete = True
        now.findings = environ.get("hashwacht")
        start_response("200 OK", [])
        return [b"stored"]

    def send(
        self,
        chunks: Sequence[bytes],
        content_type: str = MULTIPART,
        *,
        length: int | str | None = -1,
        first_response_only: bool = False,
        **more: Any,
    ) -> Outcome:
        """Send one request; *more* as in Head.

        *length* is the declared one: -1 the true one, None chunked.  *first_response_only*: as
        Granian, ignore all calls of start_response but the first.
        """
        self._now = now = Outcome()
        head = Head(content_type, **more)
        environ: dict[str, Any] = {
            "REQUEST_METHOD": head.method,
            "PATH_INFO": head.path,
            "QUERY_STRING": head.query,
            "CONTENT_TYPE": head.content_type,
            "REMOTE_ADDR": head.client[0],
            "REMOTE_PORT": str(head.client[1]),
            "wsgi.input": ChunkedInput(chunks),
        }
        environ |= {"HTTP_" + n.upper().replace("-", "_"): v for n, v in head.headers}
        if length is None:
            environ["wsgi.input_terminated"] = True
        else:
            environ["CONTENT_LENGTH"] = str(sum(map(len, chunks)) if length == -1 else length)

        def write(chunk: bytes) -> None:
            now.body += chunk

        def start_response(status: str, fields: list[tuple[str, str]], exc_info: Any = None) -> Any:
            assert exc_info is None or not now.body
            if now.status and first_response_only:
                return write
            now.status = int(status.split(maxsplit=1)[0])
            now.headers = {n.lower(): v for n, v in fields}
            return write

        _read(self._app(environ, start_response), now)
        return now


def _read(answer: Iterable[bytes], now: Outcome) -> None:
    """Read the response of a WSGI application, and close it as PEP 3333 requires."""
    try:
        for chunk in answer:
            now.body += chunk
    finally:
        close = getattr(answer, "close", None)
        if close is not None:
            close()
