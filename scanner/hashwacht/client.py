"""A typed client of the gateway's HTTP API, with and without asyncio.

::

    with GatewayClient() as gateway, open("upload.jpg", "rb") as file:
        answer = gateway.check(file)
    if answer.outcome is Outcome.MATCH: ...

An application on another machine, or in another container, needs nothing else of Hashwacht.  A
request that fails, for whatever reason, has the outcome UNDETERMINED: it is never an exception, and
never NO_MATCH.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
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

TIMEOUT = 60.0
"""Seconds without progress after which a request has failed; the gateway answers earlier."""

_PIECE = 256 << 10
_OK = 200

Content = bytes | IO[bytes] | Iterable[bytes]


class MatchSummary(msgspec.Struct, frozen=True):
    """A match: who knows the content; *how* is "exact" or "near", *distance* is in bits."""

    matcher: str
    category: str
    how: str
    list: str | None = None
    distance: int | None = None


class CheckAnswer(msgspec.Struct, frozen=True):
    """The answer for one content.

    *reason* is why it is undetermined, *detail* the same for a person; *key* is its SHA-256;
    *event* is what ``hashwacht cases show`` knows it by.  After a lookup there is no event.
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
    """A content of which only hashes are known, each as ``type:value``.

    *quality* is that of its perceptual hashes, *kind* its media type if it is known.
    """

    signals: tuple[str, ...]
    quality: int | None = None
    kind: str = ""


class _LookupAnswers(msgspec.Struct, frozen=True):
    items: tuple[CheckAnswer, ...]


class GatewayClient:
    """A client with one pool of connections.  Thread-safe."""

    def __init__(self, address: str = SOCKET, token: str = "", timeout: float = TIMEOUT) -> None:
        """Use the Unix socket at the path *address*, or a URL such as http://127.0.0.1:9758."""
        transport = httpx.HTTPTransport(uds=_socket(address), verify=_verifies(address))
        self._http = httpx.Client(transport=transport, **_options(address, token, timeout))

    def check(self, content: Content, context: UploadContext | None = None) -> CheckAnswer:
        """Check the bytes of one file; *context* is recorded if they match."""
        body = content if isinstance(content, bytes) else _pieces(content)
        return _answer(self._send("POST", "/v1/check", body, _headers(context)))

    def lookup(self, items: Sequence[HashedItem]) -> list[CheckAnswer]:
        """Look up hashes, in order; the token needs the permission for it."""
        return _answers(self._send("POST", "/v1/lookup", _body(items)), len(items))

    def is_ready(self) -> bool:
        """Return whether the gateway can check files now."""
        return self._send("GET", "/v1/ready").is_success

    def _send(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        try:
            return self._http.request(method, path, content=body, headers=headers)
        except httpx.HTTPError as error:
            return _no_response(error)

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
        transport = httpx.AsyncHTTPTransport(uds=_socket(address), verify=_verifies(address))
        self._http = httpx.AsyncClient(transport=transport, **_options(address, token, timeout))

    async def check(self, content: Content, context: UploadContext | None = None) -> CheckAnswer:
        """Check the bytes of one file; *context* is recorded if they match."""
        body = content if isinstance(content, bytes) else _async_pieces(content)
        return _answer(await self._send("POST", "/v1/check", body, _headers(context)))

    async def lookup(self, items: Sequence[HashedItem]) -> list[CheckAnswer]:
        """Look up hashes, in order; the token needs the permission for it."""
        return _answers(await self._send("POST", "/v1/lookup", _body(items)), len(items))

    async def is_ready(self) -> bool:
        """Return whether the gateway can check files now."""
        return (await self._send("GET", "/v1/ready")).is_success

    async def _send(
        self,
        method: str,
        path: str,
        body: bytes | AsyncIterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        try:
            return await self._http.request(method, path, content=body, headers=headers)
        except httpx.HTTPError as error:
            return _no_response(error)

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()


def _socket(address: str) -> str | None:
    return address if address.startswith("/") else None


def _verifies(address: str) -> bool:
    return address.startswith("https:")  # otherwise no certificates are loaded, which takes 0.1 s


def _options(address: str, token: str, timeout: float) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    base_url = "http://hashwacht" if _socket(address) else address
    return {"base_url": base_url, "headers": headers, "timeout": timeout, "trust_env": False}


def _headers(context: UploadContext | None) -> dict[str, str]:
    return {} if context is None else headers_of(context)


def _pieces(content: IO[bytes] | Iterable[bytes]) -> Iterable[bytes]:
    return iter(lambda: content.read(_PIECE), b"") if hasattr(content, "read") else content


async def _async_pieces(content: IO[bytes] | Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in _pieces(content):
        yield piece


def _body(items: Sequence[HashedItem]) -> bytes:
    return msgspec.json.encode({"items": items})


def _no_response(error: httpx.HTTPError) -> httpx.Response:
    return httpx.Response(503, text=str(error) or type(error).__name__)


def _answer(response: httpx.Response) -> CheckAnswer:
    if response.status_code != _OK:
        reason = Reason.UNANSWERED if response.is_server_error else Reason.REFUSED
        detail = f"{response.status_code}: {response.text[:400]}"
        return CheckAnswer(Outcome.UNDETERMINED, reason, detail=detail)
    try:
        return msgspec.json.decode(response.content, type=CheckAnswer)
    except msgspec.DecodeError as error:
        return CheckAnswer(Outcome.UNDETERMINED, Reason.UNANSWERED, detail=str(error))


def _answers(response: httpx.Response, count: int) -> list[CheckAnswer]:
    with suppress(msgspec.DecodeError):
        if response.status_code == _OK:
            answers = msgspec.json.decode(response.content, type=_LookupAnswers).items
            if len(answers) == count:
                return [*answers]
    return [_answer(response)] * count
