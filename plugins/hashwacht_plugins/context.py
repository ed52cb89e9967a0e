"""What a request tells about an upload, for the case that it may become one.

It goes to the state on this machine and nowhere else.
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
from hashwacht_plugins.multipart.events import FileStart, RequestHead
from hashwacht_plugins.policy import ensure_collection

_log = logging.getLogger(__name__)

UserCallback = Callable[[Any], object]
"""Given what stands for the request (ASGI scope, WSGI environ, Django's or aiohttp's request),
says what the application calls its user; None: nobody."""

Peer = tuple[str, int | None]
"""The address and port of who is connected; an empty one over a Unix socket."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

UNIX = "unix"
"""Stands among the trusted proxies for whoever connects over a Unix socket."""

_HOP = re.compile(r"\[(?P<v6>[^]]*)](:(?P<port6>\d{1,5}))?|(?P<v4>[\d.]*):(?P<port4>\d{1,5})")
"""A forwarded address with port, as some proxies write it."""


def no_user(_: object) -> None:
    """Know no user."""


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """How to find out who sends.

    *trusted_proxies*: networks (``"10.0.0.0/8"``) whose ``X-Forwarded-For`` is believed, and
    ``"unix"`` for a proxy that connects over a Unix socket.  None by default: anybody can write
    that header, and a wrong address in a report accuses a wrong person.  *user* is asked when a
    file has ended, so that a middleware inside can have set it.
    """

    trusted_proxies: Collection[str] = ()
    user: UserCallback = no_user

    def __post_init__(self) -> None:
        """Refuse what is no network, and a callback that would have to be awaited.

        Raises ValueError, TypeError.
        """
        for each in ensure_collection(self.trusted_proxies):
            if each != UNIX:
                ipaddress.ip_network(each)
        if inspect.iscoroutinefunction(self.user):
            raise TypeError("the callback for the user is no coroutine: nobody awaits it")

    def upload_context(
        self, request: RequestHead, peer: Peer, file: FileStart, surroundings: object
    ) -> UploadContext:
        """Put together what is known; *surroundings* is what the callback for the user is given.

        A client behind a trusted proxy has only the port that the proxy tells, and few do.
        """
        address, port = self._forwarded(request) if self._trusts(peer[0]) else ("", None)
        if not address:
            address, port = str(_address(peer[0]) or peer[0]), peer[1]
        return replace(
            file_context(file),
            address=address,
            port=port or None,  # uvicorn says 0 where it does not know
            user=self._user(surroundings),
            path=request.path,
        )

    def _user(self, surroundings: object) -> str:
        try:
            user = self.user(surroundings)
        except Exception:  # noqa: BLE001  # the application's code; the upload is checked all the same
            _log.exception("the user of an upload could not be found out")
            user = None
        return "" if user is None else str(user)

    def _forwarded(self, request: RequestHead) -> Peer:
        """Return the last address that is not a trusted proxy's, as trusted proxies report it."""
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
            address in ipaddress.ip_network(each) for each in self.trusted_proxies if each != UNIX
        )


def file_context(file: FileStart) -> UploadContext:
    """Return what is known without a request: the file's name and the time."""
    return UploadContext(
        received_at=datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
        field=file.field,
        file_name=file.file_name,
        declared_type=file.declared_type,
    )


def _hop(text: str) -> tuple[Address | None, int | None]:
    """Read an address, with or without a port."""
    found = _HOP.fullmatch(text)
    if found is None:
        return _address(text), None
    port = int(found["port6"] or found["port4"] or 0)
    return _address(found["v6"] or found["v4"] or ""), port or None


def _address(text: str) -> Address | None:
    """Read an address; IPv4 that came over an IPv6 socket is IPv4.  None if it is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
