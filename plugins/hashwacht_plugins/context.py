"""Where an upload comes from: client address, user, path, as recorded for a possible case.

It is stored on this machine and sent nowhere.
"""

from __future__ import annotations

import inspect
import ipaddress
import logging
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from hashwacht import UploadContext
from hashwacht.multipart.events import FileStart
from hashwacht_plugins.policy import ensure_collection
from hashwacht_plugins.request_body import RequestHead

_log = logging.getLogger(__name__)

UserCallback = Callable[[Any], object]
"""Returns the user, or None, for a scope (ASGI), environ (WSGI) or request (Django, aiohttp)."""

Peer = tuple[str, int | None]
"""Address and port of the peer; the address is empty for a Unix socket."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

UNIX = "unix"
"""Entry of *trusted_proxies* for peers connected over a Unix socket."""

_HOP = re.compile(r"\[(?P<v6>[^]]*)](:(?P<port6>\d{1,5}))?|(?P<v4>[\d.]*):(?P<port4>\d{1,5})")
"""A forwarded address with an optional port, as some proxies write it."""


def no_user(_: object) -> None:
    """Return no user."""


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """How to determine the client and the user of a request.

    *trusted_proxies*: networks (``"10.0.0.0/8"``) whose ``X-Forwarded-For`` is believed, and
    ``"unix"`` for a proxy that connects over a Unix socket.  None by default: any client can send
    that header, and a wrong address in a report accuses a wrong person.  *user* is called at the
    end of a file, when an inner middleware may have set the user.
    """

    trusted_proxies: Collection[str] = ()
    user: UserCallback = no_user

    def __post_init__(self) -> None:
        """Raise ValueError for an invalid network, TypeError for an asynchronous callback."""
        for network in ensure_collection(self.trusted_proxies):
            if network != UNIX:
                ipaddress.ip_network(network)
        if inspect.iscoroutinefunction(self.user):
            raise TypeError("the user callback must be a plain function, not a coroutine function")

    def upload_context(
        self, request: RequestHead, peer: Peer, file: FileStart, surroundings: object
    ) -> UploadContext:
        """Return the origin of *file*; *surroundings* is passed to the user callback.

        The port of a client behind a trusted proxy is known only if the proxy sends it; few do.
        """
        address, port = self._forwarded(request) if self._trusts(peer[0]) else ("", None)
        if not address:
            address, port = str(_address(peer[0]) or peer[0]), peer[1]
        return replace(
            file_context(file),
            address=address,
            port=port or None,  # uvicorn sets 0 if it is unknown
            user=self._user(surroundings),
            path=request.path,
        )

    def _user(self, surroundings: object) -> str:
        try:
            user = self.user(surroundings)
        except Exception:  # noqa: BLE001  # the application's code; the upload is checked anyway
            _log.exception("the user callback failed; the upload is recorded without a user")
            user = None
        return "" if user is None else str(user)

    def _forwarded(self, request: RequestHead) -> Peer:
        """Return the last forwarded address that is not itself a trusted proxy."""
        hops = request.headers.get("x-forwarded-for", "").split(",")
        for hop in reversed(hops):
            address, port = _hop(hop.strip())
            if address is None:
                break
            if not self._trusts(str(address)):
                return str(address), port
        return "", None

    def _trusts(self, peer: str) -> bool:
        if not peer:
            return UNIX in self.trusted_proxies
        address = _address(peer)
        return address is not None and any(
            address in ipaddress.ip_network(network)
            for network in self.trusted_proxies
            if network != UNIX
        )


def file_context(file: FileStart) -> UploadContext:
    """Return what is known without a request: time, names and declared type."""
    return UploadContext(
        received_at=datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
        field=file.field,
        file_name=file.file_name,
        declared_type=file.declared_type,
    )


def _hop(text: str) -> tuple[Address | None, int | None]:
    """Parse an address with or without a port."""
    hop = _HOP.fullmatch(text)
    if hop is None:
        return _address(text), None
    port = int(hop["port6"] or hop["port4"] or 0)
    return _address(hop["v6"] or hop["v4"] or ""), port or None


def _address(text: str) -> Address | None:
    """Parse an address, or return None; an IPv4-mapped IPv6 address becomes IPv4."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
