"""The middleware for ASGI applications: Starlette, FastAPI, Django, Quart, Litestar, ...

::

    app = HashwachtMiddleware(app)

Runs under asyncio (uvicorn, hypercorn, daphne) and under trio (hypercorn).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from hashwacht_plugins.awaiting import any_done, lock
from hashwacht_plugins.events import Request
from hashwacht_plugins.intake import DRAIN, Intake, Peer
from hashwacht_plugins.upload import Upload

_log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

KEY = "hashwacht"
"""Where the application finds its :class:`hashwacht_plugins.upload.Findings` in the scope."""


class HashwachtMiddleware:
    """Stops uploads that match before the application has them.

    Requests without files, websockets and lifespan go through untouched.
    """

    def __init__(self, app: App, /, **settings: Any) -> None:
        """Stand before *app*; for the *settings* see :class:`hashwacht_plugins.intake.Intake`."""
        self._app = app
        self._intake = Intake(**settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        upload = self._intake.upload(request_of(scope), lambda: peer_of(scope), scope)
        if upload is None:
            await self._app(scope, receive, send)
            return
        scope[KEY] = upload.findings
        await _Responder(self._app, upload, receive, send).run(scope)


class _Responder:
    """One request.  The application gets its ``receive`` and ``send``."""

    def __init__(self, app: App, upload: Upload, receive: Receive, send: Send) -> None:
        self._app, self._upload = app, upload
        self._receive, self._send = receive, send
        self._turn = lock()
        self._started = self._refused = self._passed = False

    async def run(self, scope: Scope) -> None:
        """Let the application run."""
        try:
            await self._app(scope, self.receive, self.send)
        except Exception:
            if not self._refused:
                raise
            _log.debug("the application ended with its upload", exc_info=True)
        finally:
            self._upload.close()

    async def receive(self) -> Message:
        """Give the application its next message: bytes that may be passed on, or the end."""
        async with self._turn:
            if self._refused:
                return {"type": "http.disconnect"}
            if self._passed:
                return await self._receive()
            return await self._next()

    async def _next(self) -> Message:
        """Read until something may be passed on."""
        upload = self._upload
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                upload.close()
                self._passed = True
                return message
            more = bool(message.get("more_body", False))
            upload.receive(message.get("body", b""))
            if not more:
                upload.finish()
            await self._settle()
            if upload.refusal is not None:
                await self._refuse(more=more)
                return {"type": "http.disconnect"}
            passed = upload.passable()
            self._passed = not more
            if passed or not more:
                return {"type": "http.request", "body": passed, "more_body": more}

    async def _settle(self) -> None:
        """Wait for verdicts if nothing else can be done; the work is done in threads."""
        upload = self._upload
        upload.settle(0.0)
        while upload.must_wait:
            began = time.monotonic()
            await any_done(upload.pending, upload.patience)
            upload.settle(time.monotonic() - began)

    async def _refuse(self, *, more: bool) -> None:
        """Answer in place of the application, if it has not begun to."""
        self._refused = True
        left = DRAIN
        while more and left > 0:
            message = await self._receive()
            left -= len(message.get("body", b""))
            more = bool(message.get("more_body", False))
        refusal = self._upload.refusal
        if self._started or refusal is None:
            _log.warning("an upload is refused, but the application has answered already")
            return
        headers = [
            ("content-type", refusal.content_type),
            ("content-length", str(len(refusal.body))),
            *refusal.headers,
        ]
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        await self._send({"type": "http.response.start", "status": refusal.status, "headers": raw})
        await self._send({"type": "http.response.body", "body": refusal.body})

    async def send(self, message: Message) -> None:
        """Pass the application's answer on, unless another was given."""
        if self._refused and not self._started:
            return
        self._started = True
        await self._send(message)


def request_of(scope: Scope) -> Request:
    """Read the head of a request; headers that come twice are joined, as RFC 9110, 5.3 says."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    query = scope.get("query_string", b"").decode("latin-1")
    return Request(scope["method"].upper(), scope["path"], query, headers)


def peer_of(scope: Scope) -> Peer:
    """Say who is connected."""
    address, port = scope.get("client") or ("", None)
    return str(address), port
