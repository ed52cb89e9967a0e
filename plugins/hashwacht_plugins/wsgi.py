"""Middleware for WSGI applications: Flask, Django, Pyramid, Bottle, ...

::

    app.wsgi_app = HashwachtMiddleware(app.wsgi_app)
"""

from __future__ import annotations

import io
import logging
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from http import HTTPStatus
from typing import Any, Protocol, Unpack

from hashwacht_plugins.context import Peer
from hashwacht_plugins.middleware_settings import (
    CHUNK,
    MAX_DRAIN_BYTES,
    MiddlewareOptions,
    UploadInspector,
)
from hashwacht_plugins.policy import RefusalResponse
from hashwacht_plugins.request_body import RequestHead
from hashwacht_plugins.upload import UploadInspection

_log = logging.getLogger(__name__)

Environ = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
App = Callable[[Environ, StartResponse], Iterable[bytes]]

KEY = "hashwacht"
"""Key of the :class:`hashwacht_plugins.upload.Findings` in the environ."""

_PHRASES = {int(status): status.phrase for status in HTTPStatus}


class UploadRefused(OSError):
    """Raised when the application reads a refused body; frameworks handle OSError."""


class WsgiInput(Protocol):
    """The part of ``wsgi.input`` that the middleware uses."""

    def read(self, size: int, /) -> bytes:
        """Return up to *size* bytes; none at the end."""


class HashwachtMiddleware:
    """Stops uploads that match before the application has them."""

    def __init__(self, app: App, /, **settings: Unpack[MiddlewareOptions]) -> None:
        """Wrap *app*; for the *settings* see ``UploadInspector``."""
        self._app = app
        self._inspector = UploadInspector(**settings)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Handle one request."""
        length = _length(environ)
        if length == 0:
            return self._app(environ, start_response)
        upload = self._inspector.inspect(
            parse_request(environ), lambda: client_address(environ), environ
        )
        if upload is None:
            return self._app(environ, start_response)
        environ[KEY] = upload.findings
        environ["wsgi.input"] = _InspectedInput(environ["wsgi.input"], length, upload)
        return _StartedResponse(_Responder(self._app, upload, start_response).run(environ))


class _InspectedInput(io.BufferedIOBase):
    """The ``wsgi.input`` of the application: it returns only bytes that may be passed on."""

    def __init__(self, source: WsgiInput, length: int | None, upload: UploadInspection) -> None:
        """Read *length* bytes from *source*, or to its end if *length* is None."""
        self._source, self._left, self._upload = source, length, upload
        self._ready, self._position = b"", 0

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Return *size* bytes, fewer only at the end, or all.  Raises UploadRefused, OSError."""
        left = _at_most(size)
        pieces = []
        while left and (piece := self.read1(left)):
            pieces.append(piece)
            left -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read1(self, size: int | None = -1, /) -> bytes:
        """Return up to *size* available bytes; none at the end.  Raises as ``read``."""
        if not self._fill():
            return b""
        begin, self._position = (
            self._position,
            min(len(self._ready), self._position + _at_most(size)),
        )
        return self._ready[begin : self._position]  # a full slice is not copied

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return one line, or its first *size* bytes.  Raises as ``read``."""
        left = _at_most(size)
        pieces: list[bytes] = []
        while left and not (pieces and pieces[-1].endswith(b"\n")) and self._fill():
            end = self._ready.find(b"\n", self._position, self._position + left) + 1
            pieces.append(self.read1(end - self._position if end else left))
            left -= len(pieces[-1])
        return b"".join(pieces)

    def _fill(self) -> bool:
        """Wait for bytes that may be passed on; return False at the end."""
        while self._position == len(self._ready):
            if self._upload.refusal is not None:
                raise UploadRefused("the upload is refused")
            if self._upload.closed:
                raise UploadRefused("the request has ended")
            if self._upload.exhausted:
                return False
            self._ready, self._position = self._upload.passable() or self._pull(), 0
        return True

    def _pull(self) -> bytes:
        """Read a chunk, settle the verdicts for it, and return what may be passed on."""
        upload = self._upload
        if not upload.complete:
            self._read()
        if upload.unsettled:
            _settle(upload)
        if upload.refusal is not None:
            self._drain()
        return upload.passable()

    def _read(self) -> int:
        """Inspect the next chunk of the server; return its length."""
        size = CHUNK if self._left is None else min(CHUNK, self._left)
        chunk = self._source.read(size) if size else b""
        if self._left is not None:
            self._left -= len(chunk)
        if chunk:
            self._upload.receive(chunk)
        else:
            self._upload.finish()
        return len(chunk)

    def _drain(self) -> None:
        """Read and discard the rest of a refused body, up to a limit."""
        left, deadline = MAX_DRAIN_BYTES, time.monotonic() + self._upload.timeout
        while not self._upload.complete and left > 0 and time.monotonic() < deadline:
            left -= self._read()


def _at_most(size: int | None) -> int:
    return sys.maxsize if size is None or size < 0 else size


def _settle(upload: UploadInspection) -> None:
    """Wait for verdicts if nothing more may be read or passed on."""
    upload.settle(0.0)
    while upload.must_wait:
        began = time.monotonic()
        wait(upload.pending, upload.time_left, FIRST_COMPLETED)
        upload.settle(time.monotonic() - began)


class _Responder:
    """Handles one request.

    Until the upload is decided, the head of the application's response waits for the first bytes of
    the body: some servers (Granian) ignore a second head, so that a refusal could not replace it.
    """

    def __init__(self, app: App, upload: UploadInspection, start_response: StartResponse) -> None:
        self._app, self._upload, self._start_response = app, upload, start_response
        self._head: tuple[Any, ...] = ()
        self._sent = False
        self._answer: Iterable[bytes] = ()

    def run(self, environ: Environ) -> Generator[bytes, None, None]:
        """Run the application, and answer the client if its upload is refused."""
        try:
            yield from self._application(environ)
            if self._upload.refusal is not None and not self._sent:
                yield self._refuse(self._upload.refusal)
            elif self._head and not self._sent:
                self._send_head()
        finally:
            self._upload.close()
            close = getattr(self._answer, "close", None)
            if close is not None:
                close()

    def _application(self, environ: Environ) -> Iterator[bytes]:
        try:
            self._answer = self._app(environ, self._start)
            for chunk in self._answer:
                if self._upload.refusal is not None and not self._sent:
                    return
                if chunk and not self._sent:
                    self._send_head()
                yield chunk
        except Exception:
            if self._upload.refusal is None or self._sent:
                raise
            _log.debug("the application failed because its upload was refused", exc_info=True)

    def _start(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], object]:
        """Keep the head of the application's response; a later one with *exc_info* replaces it."""
        if self._upload.refusal is not None and not self._sent:
            return self._write
        more = () if exc_info is None else (exc_info,)
        if self._sent:  # the server raises exc_info
            return self._start_response(status, headers, *more)
        assert not self._head or exc_info, "start_response was called twice without exc_info"
        self._head = (status, headers, *more)
        if self._upload.findings.action is not None:  # it is decided: there is no refusal to come
            return self._send_head()
        return self._write

    def _write(self, chunk: bytes) -> object:
        """Send bytes without waiting for the iterable (PEP 3333, "The write() Callable")."""
        if self._upload.refusal is not None and not self._sent:
            return None
        write = self._writer if self._sent else self._send_head()
        return write(chunk)

    def _send_head(self) -> Callable[[bytes], object]:
        """Start the application's response at the server."""
        assert self._head, "the application sends bytes before it calls start_response"
        self._sent = True
        self._writer = self._start_response(*self._head)
        return self._writer

    def _refuse(self, refusal: RefusalResponse) -> bytes:
        """Start the refusal instead of the application's response."""
        status = f"{refusal.status} {_PHRASES.get(refusal.status, 'Refused')}"
        self._start_response(status, refusal.head)
        return refusal.body


class _StartedResponse(Iterator[bytes]):
    """A response that has begun: some servers (Granian) take its head before they iterate."""

    def __init__(self, chunks: Generator[bytes, None, None]) -> None:
        """Run the application up to its first bytes.  Raises what the application raises."""
        self._chunks = chunks
        self._first = next(filter(None, chunks), b"")

    def __next__(self) -> bytes:
        """Return the first bytes, then the others."""
        first, self._first = self._first, b""
        return first or next(self._chunks)

    def close(self) -> None:
        """End the response (PEP 3333, "Specification Details")."""
        self._chunks.close()


def _length(environ: Environ) -> int | None:
    """Return the length of the body, or None if it is unknown.

    Without a length an application should not read (PEP 3333), but some do, and under HTTP/2 there
    may be a body.
    """
    chunked = "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()
    text = environ.get("CONTENT_LENGTH") or ""
    valid = text.isascii() and text.isdigit()
    return int(text) if valid and not (chunked or environ.get("wsgi.input_terminated")) else None


def parse_request(environ: Environ) -> RequestHead:
    """Return the head of a request."""
    headers = {
        name[5:].replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") and isinstance(value, str)
    }
    headers["content-type"] = environ.get("CONTENT_TYPE", "")
    mount = _decoded(environ.get("SCRIPT_NAME", ""))
    path = mount + _decoded(environ.get("PATH_INFO", ""))
    query = environ.get("QUERY_STRING", "")
    sent = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""  # gunicorn, uWSGI
    sent = sent.partition("?")[0]
    return RequestHead(environ["REQUEST_METHOD"].upper(), path, query, headers, sent, mount)


def _decoded(path: str) -> str:
    """Decode a path of an environ (PEP 3333, "Unicode Issues")."""
    return path.encode("latin-1").decode("utf-8", "replace")


def client_address(environ: Environ) -> Peer:
    """Return address and port of the peer."""
    port = environ.get("REMOTE_PORT", "")
    return environ.get("REMOTE_ADDR", ""), int(port) if str(port).isdigit() else None
