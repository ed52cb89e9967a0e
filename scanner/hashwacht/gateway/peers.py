"""Who is connected: what the kernel reports of the other end of a connection."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Self

from hashwacht.ipc.sockets import peer_credentials


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end: process, user and group of a Unix socket, or address and port of TCP."""

    uid: int | None = None
    gid: int | None = None
    pid: int | None = None
    address: str = ""
    port: int | None = None

    @classmethod
    def from_socket(cls, connection: socket.socket) -> Self:
        """Return the peer of a connected socket.  Raises OSError if it has gone."""
        if connection.family == socket.AF_UNIX:
            process, user, group = peer_credentials(connection)
            return cls(user, group, process)
        address, port = connection.getpeername()[:2]
        return cls(address=str(address), port=int(port))

    def __str__(self) -> str:
        """Return the peer for a log line."""
        if self.uid is None:
            return f"{self.address} port {self.port}"
        return f"user {self.uid}, process {self.pid}"
