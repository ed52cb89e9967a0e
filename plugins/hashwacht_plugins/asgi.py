"""Middleware for ASGI applications: Starlette, FastAPI, Django, Quart, Litestar, ...

::

    app = HashwachtMiddleware(app)

Runs under asyncio (uvicorn, hypercorn, daphne) and under trio (hypercorn).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Unpack

from hashwacht_plugins.awaiting import lock, wait_any, with_timeout
from hashwacht_plugins.context import Peer
from hashwacht_plugins.middleware_settings import (
    MAX_DRAIN_BYTES,
    MiddlewareOptions,
    UploadInspector,
)
from hashwacht_plugins.policy import RefusalResponse
from hashwacht_plugins.request_body import RequestHead
from hashwacht_plugins.upload import UploadInspection

_log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

KEY = "hashwacht"
"""Key of the :class:`hashwacht_plugins.upload.Findings` in the scope."""


class HashwachtMiddleware:
    """Stops uploads that match before the application has them.

    Requests without files, websockets and lifespan events are passed on unchanged.
    """

    def __init__(self, app: App, /, **settings: Unpack[MiddlewareOptions]) -> None:
        """Wrap *app*; for the *settings* see ``UploadInspector``."""
        self._app = app
        self._inspector = UploadInspector(**settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        upload = self._inspector.inspect(parse_request(scope), lambda: client_address(scope), scope)
        if upload is None:
            await self._app(scope, receive, send)
            return
        scope[KEY] = upload.findings
        await _Responder(self._app, upload, receive, send).run(scope)


class _Responder:
    """Handles one request; the application is given its ``receive`` and ``send``."""

    def __init__(self, app: App, upload: UploadInspection, receive: Receive, send: Send) -> None:
        self._app, self._upload = app, upload
        self._receive, self._send = receive, send
        self._lock = lock()
        self._head: Message | None = None
        self._started = self._answered = self._ended = False

    async def run(self, scope: Scope) -> None:
        """Run the application, and answer the client if its upload is refused."""
        try:
            await self._application(scope)
            if self._upload.refusal is not None:
                await self._answer(self._upload.refusal)
        finally:
            self._upload.close()

    async def _application(self, scope: Scope) -> None:
        try:
            await self._app(scope, self.receive, self.send)
        except Exception:
            if self._upload.refusal is None:
                raise
            _log.debug("the application failed because its upload was refused", exc_info=True)

    async def receive(self) -> Message:
        """Return the next message for the application: bytes that may be passed on, or the end.

        The application may cancel this at any ``await`` and call it again without losing data.
        """
        async with self._lock:
            if self._ended:
                return await self._receive()
            message = await self._next()
            self._ended = not message.get("more_body", True)
            return message

    async def _next(self) -> Message:
        """Read until bytes may be passed on or the request ends."""
        upload = self._upload
        while not upload.closed:
            if upload.unsettled:
                await self._settle()
            if upload.refusal is not None:
                await self._answer(upload.refusal)
                break
            body = upload.passable()
            if body or upload.exhausted:
                return {"type": "http.request", "body": body, "more_body": not upload.exhausted}
            if upload.refusal is None:
                await self._read()
        return {"type": "http.disconnect"}

    async def _read(self) -> None:
        """Inspect the next message of the server."""
        message = await self._receive()
        if message["type"] != "http.request":
            self._upload.close()
            return
        self._upload.receive(message.get("body", b""))
        if not message.get("more_body", False):
            self._upload.finish()

    async def _settle(self) -> None:
        """Wait for verdicts if nothing more may be read or passed on; threads do the work."""
        upload = self._upload
        upload.settle(0.0)
        while upload.must_wait:
            began = time.monotonic()
            try:
                await wait_any(upload.pending, upload.time_left)
            finally:
                upload.settle(time.monotonic() - began)

    async def _answer(self, refusal: RefusalResponse) -> None:
        """Send the refusal, once, unless the application has started its response."""
        if self._answered:
            return
        await with_timeout(self._upload.timeout, self._drain)
        self._answered = True
        if self._started:
            _log.warning(
                "an upload is refused, but the application has already started its response"
            )
            return
        head = [(name.lower().encode("latin-1"), v.encode("latin-1")) for name, v in refusal.head]
        await self._send({"type": "http.response.start", "status": refusal.status, "headers": head})
        await self._send({"type": "http.response.body", "body": refusal.body})

    async def _drain(self) -> None:
        """Read and discard the rest of a refused body, up to a limit."""
        left = MAX_DRAIN_BYTES
        while left > 0 and not (self._upload.complete or self._upload.closed):
            message = await self._receive()
            left -= len(message.get("body", b""))
            if not message.get("more_body", False):
                self._upload.finish()

    async def send(self, message: Message) -> None:
        """Pass the application's response on unless the upload is refused.

        Until the upload is decided, its head waits for the next message: a refusal may replace it.
        """
        if self._upload.refusal is not None and not self._started:
            return
        if message["type"] == "http.response.start" and self._upload.findings.action is None:
            self._head = message
            return
        head, self._head = self._head, None
        self._started |= head is not None or message["type"] == "http.response.start"
        if head is not None:
            await self._send(head)
        await self._send(message)


def parse_request(scope: Scope) -> RequestHead:
    """Return the head of a request; repeated headers are joined (RFC 9110, 5.3)."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    query = scope.get("query_string", b"").decode("latin-1")
    sent = (scope.get("raw_path") or b"").decode("latin-1")
    mount = scope.get("root_path", "")
    return RequestHead(scope["method"].upper(), scope["path"], query, headers, sent, mount)


def client_address(scope: Scope) -> Peer:
    """Return address and port of the peer."""
    address, port = scope.get("client") or ("", None)
    return str(address), port
