"""What a request tells about an upload, for the case that it may become one.

It goes to the state on this machine and nowhere else.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from hashwacht import Circumstances
from hashwacht_plugins.events import FileBegins, Request

_log = logging.getLogger(__name__)

UserOf = Callable[[Mapping[str, Any]], str]
"""Given the ASGI scope or the WSGI environ, says what the application calls its user."""


def nobody(_: Mapping[str, Any]) -> str:
    """Know no user."""
    return ""


@dataclass(frozen=True, slots=True)
class Facts:
    """How to find out who sends.

    *trusted_proxies*: networks (``"10.0.0.0/8"``) whose ``X-Forwarded-For`` is believed.  None
    by default: anybody can write that header, and a wrong address in a report accuses a wrong
    person.  *user* is asked when a file has ended, so that a middleware inside can have set it.
    """

    trusted_proxies: tuple[str, ...] = ()
    user: UserOf = nobody

    def __post_init__(self) -> None:
        """Refuse what is no network.  Raises ValueError."""
        for each in self.trusted_proxies:
            ipaddress.ip_network(each)

    def circumstances(
        self,
        request: Request,
        peer: tuple[str, int | None],
        file: FileBegins,
        surroundings: Mapping[str, Any],
    ) -> Circumstances:
        """Put together what is known; *peer* is who is connected, *surroundings* scope or environ.

        A client behind a trusted proxy has no port: proxies do not tell it.
        """
        address, port = peer
        told = self._forwarded(request, address)
        return replace(
            told_of(file),
            address=told or address,
            port=None if told else port,
            user=self._user(surroundings),
            path=request.path,
        )

    def _user(self, surroundings: Mapping[str, Any]) -> str:
        try:
            return str(self.user(surroundings))
        except Exception:  # noqa: BLE001  # the application's code; the upload is checked all the same
            _log.exception("the user of an upload could not be found out")
            return ""

    def _forwarded(self, request: Request, peer: str) -> str:
        """Give the last address that no trusted proxy has, as trusted ones tell; else nothing."""
        if not self._trusts(peer):
            return ""
        hops = [each.strip() for each in request.headers.get("x-forwarded-for", "").split(",")]
        for hop in reversed(hops):
            if not _is_address(hop):
                return ""
            if not self._trusts(hop):
                return hop
        return ""

    def _trusts(self, address: str) -> bool:
        return _is_address(address) and any(
            ipaddress.ip_address(address) in ipaddress.ip_network(each)
            for each in self.trusted_proxies
        )


def told_of(file: FileBegins) -> Circumstances:
    """Say what is known without a request: what the file is called, and when."""
    return Circumstances(
        received_at=datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
        field=file.field,
        file_name=file.file_name,
        declared_type=file.declared_type,
    )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
