"""Who is connected: what the kernel reports of the other end of a connection."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end: process, user and group of a Unix socket, or address and port of TCP."""

    uid: int | None = None
    gid: int | None = None
    pid: int | None = None
    address: str = ""
    port: int | None = None

    def __str__(self) -> str:
        """Return the peer for a log line."""
        if self.uid is None:
            return f"{self.address} port {self.port}"
        return f"user {self.uid}, process {self.pid}"
