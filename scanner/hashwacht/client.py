"""A typed client of the gateway's HTTP API, with and without asyncio.

::

    with GatewayClient() as gateway, open("upload.jpg", "rb") as file:
        answer = gateway.check(file)
    if answer.outcome is Outcome.MATCH: ...

A request that fails has the outcome UNDETERMINED: it is no exception, and never NO_MATCH.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from typing import IO, Any, Self

import httpx
import msgspec

from hashwacht.core.types import Outcome, Reason
from hashwacht.core.upload_context import UploadContext
from hashwacht.gateway.http.circumstances import headers_of

__all__ = [
    "AsyncGatewayClient",
    "CheckAnswer",
    "GatewayClient",
    "HashedItem",
    "MatchSummary",
    "Outcome",
    "UploadContext",
]

SOCKET = "/run/hashwacht-gateway/http.sock"

TIMEOUT, _PIECE = 60.0, 256 << 10
"""Seconds without progress after which a request has failed; bytes that are sent at a time."""

Content = bytes | IO[bytes] | Iterable[bytes]


class MatchSummary(msgspec.Struct, frozen=True):
    """A match: who knows the content; *how* is "exact" or "near", *distance* is in bits."""

    matcher: str
    category: str
    how: str
    list: str | None = None
    distance: int | None = None


class CheckAnswer(msgspec.Struct, frozen=True):
    """The answer for one content; *reason* and *detail* are why it is undetermined.

    *key* is its SHA-256; ``hashwacht cases show`` accepts the *event*, which a lookup has not.
    """

    outcome: Outcome
    reason: str | None = None
    matches: tuple[MatchSummary, ...] = ()
    key: str | None = None
    kind: str | None = None
    size: int = 0
    event: str = ""
    revision: int = 0
    detail: str = ""


class HashedItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """A content by hashes ``type:value``; *quality* is of the perceptual ones, *kind* its type."""

    signals: tuple[str, ...]
    quality: int | None = None
    kind: str = ""


class _LookupAnswers(msgspec.Struct, frozen=True):
    items: tuple[CheckAnswer, ...]


class GatewayClient:
    """A client with one pool of connections.  Thread-safe."""

    def __init__(self, address: str = SOCKET, token: str = "", timeout: float = TIMEOUT) -> None:
        """Use the Unix socket at the path *address*, or a URL such as http://127.0.0.1:9758."""
        transport = httpx.HTTPTransport(**_transport(address))
        self._http = httpx.Client(transport=transport, **_options(address, token, timeout))

    def check(self, content: Content, context: UploadContext | None = None) -> CheckAnswer:
        """Check the bytes of one file; *context* is recorded if they match."""
        body = content if isinstance(content, bytes) else _pieces(content)
        headers = headers_of(context) if context else None
        return _answer(self._send("POST", "/v1/check", content=body, headers=headers))

    def lookup(self, items: Sequence[HashedItem]) -> list[CheckAnswer]:
        """Look up hashes, in order; the token needs the permission for it."""
        body = msgspec.json.encode({"items": items})
        return _answers(self._send("POST", "/v1/lookup", content=body), len(items))

    def is_ready(self) -> bool:
        """Return whether the gateway can check files now."""
        return self._send("GET", "/v1/ready").is_success

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            return httpx.Response(503, text=repr(error))

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class AsyncGatewayClient:
    """The same for asyncio and trio."""

    def __init__(self, address: str = SOCKET, token: str = "", timeout: float = TIMEOUT) -> None:
        """Use the Unix socket at the path *address*, or a URL such as http://127.0.0.1:9758."""
        transport = httpx.AsyncHTTPTransport(**_transport(address))
        self._http = httpx.AsyncClient(transport=transport, **_options(address, token, timeout))

    async def check(self, content: Content, context: UploadContext | None = None) -> CheckAnswer:
        """Check the bytes of one file; *context* is recorded if they match."""
        body = content if isinstance(content, bytes) else _async_pieces(content)
        headers = headers_of(context) if context else None
        return _answer(await self._send("POST", "/v1/check", content=body, headers=headers))

    async def lookup(self, items: Sequence[HashedItem]) -> list[CheckAnswer]:
        """Look up hashes, in order; the token needs the permission for it."""
        body = msgspec.json.encode({"items": items})
        return _answers(await self._send("POST", "/v1/lookup", content=body), len(items))

    async def is_ready(self) -> bool:
        """Return whether the gateway can check files now."""
        return (await self._send("GET", "/v1/ready")).is_success

    async def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return await self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            return httpx.Response(503, text=repr(error))

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()


def _transport(address: str) -> dict[str, Any]:
    """Return the options of a transport; without TLS no certificates are loaded, which is slow."""
    uds = address if address.startswith("/") else None
    return {"uds": uds, "verify": address.startswith("https:")}


def _options(address: str, token: str, timeout: float) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    base_url = "http://hashwacht" if address.startswith("/") else address
    return {"base_url": base_url, "headers": headers, "timeout": timeout, "trust_env": False}


def _pieces(content: IO[bytes] | Iterable[bytes]) -> Iterable[bytes]:
    return iter(lambda: content.read(_PIECE), b"") if hasattr(content, "read") else content


async def _async_pieces(content: IO[bytes] | Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in _pieces(content):
        yield piece


def _answer(response: httpx.Response) -> CheckAnswer:
    if not response.is_success:
        reason = Reason.UNANSWERED if response.is_server_error else Reason.REFUSED
        detail = f"{response.status_code}: {response.text[:400]}"
        return CheckAnswer(Outcome.UNDETERMINED, reason, detail=detail)
    try:
        return msgspec.json.decode(response.content, type=CheckAnswer)
    except msgspec.DecodeError as error:
        return CheckAnswer(Outcome.UNDETERMINED, Reason.UNANSWERED, detail=str(error))


def _answers(response: httpx.Response, count: int) -> list[CheckAnswer]:
    with suppress(msgspec.DecodeError):
        answers = msgspec.json.decode(response.content, type=_LookupAnswers).items
        if response.is_success and len(answers) == count:
            return [*answers]
    return [_answer(response)] * count
