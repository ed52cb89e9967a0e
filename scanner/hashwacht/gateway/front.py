"""One server of the gateway while the scanner can answer, and while it cannot.

Several programs accept a file if a virus scanner replies with an error, but none does without a
connection.  So the sockets of a front that refuses on an outage are closed during one.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hashwacht.core.gateway_report import MAX_PEERS, FrontReport
from hashwacht.core.types import Outcome
from hashwacht.gateway.check_counters import CheckCounters
from hashwacht.gateway.listeners import FrontSockets

_log = logging.getLogger(__name__)


class Front(Protocol):
    """A server of one protocol.  ``start`` may be called again after ``close``."""

    @property
    def connection_count(self) -> int:
        """Return the number of open connections."""

    async def start(self, listeners: Sequence[socket.socket]) -> None:
        """Serve *listeners*, which belong to the front from now on."""

    async def close(self) -> None:
        """Stop accepting, let requests under way end for a few seconds, and close."""


@dataclass(frozen=True, slots=True)
class FrontFaults:
    """What a front has counted since its start; *cut_streams* by peer."""

    total_connections: int = 0
    protocol_errors: int = 0
    timeouts: int = 0
    refused_connections: int = 0
    upstream_failures: int = 0
    cut_streams: Mapping[str, int] = field(default_factory=dict)


class SupervisedFront:
    """A front with its sockets, opened and closed as the scanner comes and goes."""

    def __init__(
        self,
        name: str,
        front: Front,
        sockets: FrontSockets,
        counters: CheckCounters,
        *,
        refuses_on_outage: bool,
        faults: Callable[[], FrontFaults] = FrontFaults,
    ) -> None:
        """Call *faults* for what the front itself has counted."""
        self._faults = faults
        self.name, self.front, self.sockets, self.counters = name, front, sockets, counters
        self._refuses = refuses_on_outage and not sockets.inherited
        self.is_open = False
        if refuses_on_outage and sockets.inherited:
            _log.warning(
                "%s: systemd keeps the socket open during an outage, so that clients receive"
                " errors; disable its socket unit, or set gateway.clamd.on_outage = "
                '"answer"',
                name,
            )

    def report(self) -> FrontReport:
        """Return what is known of it, for the status."""
        faults, counters = self._faults(), self.counters
        outcomes = counters.by_outcome
        return FrontReport(
            self.name,
            self.is_open,
            self.front.connection_count,
            faults.total_connections,
            outcomes[Outcome.MATCH],
            outcomes[Outcome.NO_MATCH],
            outcomes[Outcome.UNDETERMINED],
            counters.bytes,
            round(counters.seconds, 3),
            faults.protocol_errors,
            faults.timeouts,
            faults.refused_connections,
            faults.upstream_failures,
            sum(faults.cut_streams.values()),
            tuple(faults.cut_streams)[-MAX_PEERS:],
            tuple(counters.users),
        )

    async def apply(self, *, able: bool, reason: str = "") -> None:
        """Open or close the sockets, depending on whether the scanner is *able* to answer.

        Raises ConfigurationError if a socket cannot be opened.
        """
        wanted = able or not self._refuses
        if wanted and not self.is_open:
            await self.front.start(self.sockets.open())
            self.is_open = True
            _log.info("%s: listening on %s", self.name, ", ".join(self.sockets.names))
        elif not wanted and self.is_open:
            _log.warning("%s: refusing connections, nothing can be checked: %s", self.name, reason)
            await self.close()

    async def close(self) -> None:
        """Close the sockets and end the connections."""
        self.is_open = False
        self.sockets.remove_paths()
        await self.front.close()
