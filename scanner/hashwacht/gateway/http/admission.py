"""Who may ask: tokens, permissions, and the share of each client, decided before a body is read.

Over the Unix socket the kernel decides who may connect, and no token is needed; over TCP a client
sends one, as ``Authorization: Bearer`` or as the password of ``Basic``.  The configuration has
only the SHA-256 of each token, which has 256 random bits.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256

from aiohttp import web

from hashwacht.gateway.http.problems import ApiProblem, bad_request, too_large, too_many
from hashwacht.gateway.peers import Peer
from hashwacht.settings import HttpSettings
from hashwacht.uploads.fair_share import FairShare

SOCKET = "socket"
"""Name in ``gateway.http.lookup`` of clients of the Unix socket that send no token."""

MAX_REQUESTS = 512
"""Requests at a time, at most half of them of one client."""

_SPARE_SECONDS = 10.0
"""A client that paused may look up as many hashes at once as in this time."""


@dataclass(frozen=True, slots=True)
class ApiClient:
    """The sender of a request: *token* is the name of its token, or "" without one."""

    peer: Peer
    token: str = ""

    @property
    def name(self) -> str:
        """Return what distinguishes it from others: its token or its user."""
        return f"token {self.token}" if self.token else f"user {self.peer.uid}"


ClientHandler = Callable[[web.Request, ApiClient], Awaitable[web.StreamResponse]]
"""Answers the request of a client that is recognised."""


class ClientRegistry:
    """Recognises clients, and grants them their share.  Used from one event loop."""

    def __init__(
        self,
        settings: HttpSettings,
        max_requests: int = MAX_REQUESTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._digests = {name: bytes.fromhex(text[7:]) for name, text in settings.tokens}
        self._lookup = frozenset(settings.lookup)
        self._max_body, self._rate = settings.max_body, settings.lookup_rate
        self._share, self._clock = FairShare(max_requests), clock
        self._spent: dict[str, tuple[float, float]] = {}

    def recognise(self, request: web.BaseRequest) -> ApiClient:
        """Return the client of *request*.  Raises ApiProblem 401."""
        connection: socket.socket | None = (
            request.transport.get_extra_info("socket") if request.transport else None
        )
        if connection is None:
            raise ConnectionResetError("the client has disconnected")
        try:
            peer = Peer.from_socket(connection)
        except OSError as error:
            raise ConnectionResetError("the client has disconnected") from error
        secret = _secret(request.headers.get("Authorization", ""))
        if secret is None and peer.uid is not None:
            return ApiClient(peer)
        name = None if secret is None else self._find(secret)
        if name is None:
            detail = "Send a token of gateway.http.tokens as Authorization: Bearer."
            challenge = {"WWW-Authenticate": 'Bearer realm="hashwacht"'}
            raise ApiProblem(401, "Unauthorized", detail, challenge)
        return ApiClient(peer, name)

    def _find(self, secret: bytes) -> str | None:
        """Return the name of a token; the time does not depend on which it is."""
        digest, name = sha256(secret).digest(), None
        for known, expected in self._digests.items():
            if hmac.compare_digest(digest, expected):
                name = known
        return name

    def may_look_up(self, client: ApiClient) -> bool:
        """Return whether *client* may look up hashes."""
        return (client.token or SOCKET) in self._lookup

    def require_lookup(self, client: ApiClient) -> None:
        """Raise ApiProblem 403 unless *client* may look up hashes."""
        if not self.may_look_up(client):
            detail = "Add the name of the token to gateway.http.lookup."
            raise ApiProblem(403, "Forbidden", detail)

    def spend_lookups(self, client: ApiClient, count: int) -> None:
        """Record that *client* looks up *count* hashes.  Raises ApiProblem 429 over its rate."""
        now, rate = self._clock(), float(self._rate)
        spent, since = self._spent.get(client.name, (0.0, now))
        spent = max(0.0, spent - (now - since) * rate)
        if spent and spent + count > rate * _SPARE_SECONDS:
            raise too_many(f"At most {self._rate} hashes per second: gateway.http.lookup_rate.")
        self._spent[client.name] = spent + count, now

    def refuse_early(self, request: web.BaseRequest) -> None:
        """Raise ApiProblem for a body that must not be sent: too large, or compressed."""
        if (request.content_length or 0) > self._max_body:
            raise too_large(self._max_body)
        if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            detail = "Send the bytes of the file without Content-Encoding."
            raise ApiProblem(415, "Unsupported media type", detail, {"Accept-Encoding": "identity"})

    def acquire(self, client: ApiClient) -> None:
        """Take a place for a request of *client*.  Raises ApiProblem 429."""
        if not self._share.acquire(client.name):
            raise too_many("Too many requests of this client are under way; repeat it later.")

    def release(self, client: ApiClient) -> None:
        """Return the place of a request of *client*."""
        self._share.release(client.name)


def _secret(header: str) -> bytes | None:
    """Return the token in an Authorization header, None if there is none.  Raises ApiProblem."""
    scheme, _, credentials = header.strip().partition(" ")
    credentials = credentials.strip()
    match scheme.lower():
        case "":
            return None
        case "bearer":
            return credentials.encode("utf-8", "surrogateescape")
        case "basic":
            try:
                return base64.b64decode(credentials, validate=True).partition(b":")[2]
            except (binascii.Error, ValueError) as error:
                raise bad_request("The Authorization header is not valid Basic.") from error
    raise bad_request("The Authorization header is neither Bearer nor Basic.")
