"""What the gateway reports of its servers: for status, metrics and ``hashwacht doctor``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_FRONTS, MAX_PEERS, MAX_USERS = 8, 16, 64
"""Servers in a report, peers that cut what they send, and users that have connected."""


@dataclass(frozen=True, slots=True)
class FrontReport:
    """One server since its start.

    *is_open*: it listens.  *cutting_peers* end what they send at a usual limit of clients, *users*
    are the user ids of those that had something checked.
    """

    name: str
    is_open: bool
    connections: int = 0
    total_connections: int = 0
    matches: int = 0
    no_matches: int = 0
    undetermined: int = 0
    checked_bytes: int = 0
    check_seconds: float = 0.0
    protocol_errors: int = 0
    timeouts: int = 0
    refused_connections: int = 0
    upstream_failures: int = 0
    cut_streams: int = 0
    cutting_peers: tuple[str, ...] = ()
    users: tuple[int, ...] = ()

    @property
    def checks(self) -> Mapping[str, int]:
        """The number of checks by outcome."""
        return {
            "match": self.matches,
            "no-match": self.no_matches,
            "undetermined": self.undetermined,
        }


@dataclass(frozen=True, slots=True)
class GatewayReport:
    """All servers, and the Unix time at which the scanner received this."""

    at: float
    fronts: tuple[FrontReport, ...]

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> GatewayReport:
        """Return a report of ``status.json``.  Raises KeyError, TypeError."""
        fronts = (
            FrontReport(
                **front
                | {"cutting_peers": tuple(front["cutting_peers"]), "users": tuple(front["users"])}
            )
            for front in fields["fronts"]
        )
        return cls(fields["at"], tuple(fronts))
