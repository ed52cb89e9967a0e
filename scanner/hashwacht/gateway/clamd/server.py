"""The clamd server: accepts connections up to a limit, and ends those that wait for too long."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv6Address, ip_address, ip_network

from hashwacht.gateway.checks import ContentChecks
from hashwacht.gateway.clamd.client_socket import DEFAULT_TIMEOUTS, ClamdTimeouts
from hashwacht.gateway.clamd.connection import ClamdConnection
from hashwacht.gateway.clamd.counters import ClamdCounters
from hashwacht.gateway.clamd.framing import MAX_READ
from hashwacht.gateway.clamd.replies import NOT_DETERMINED
from hashwacht.gateway.clamd.responder import ClamdResponder
from hashwacht.gateway.peers import Peer
from hashwacht.settings.gateway import ClamdSettings

_log = logging.getLogger(__name__)

_ACCEPT_RETRY = 0.1
"""Seconds to wait if this process has no descriptor left."""

_LOG_INTERVAL = 10.0
"""Seconds between two log lines about what any client can cause."""

_FORBIDDEN = b"Access denied. ERROR"
"""Reply to an address that may not connect: a client could take a closed connection for consent."""


class ClamdFront:
    """Serves the protocol of clamd on any number of sockets."""

    def __init__(
        self,
        checks: ContentChecks,
        settings: ClamdSettings,
        max_connections: int,
        timeouts: ClamdTimeouts = DEFAULT_TIMEOUTS,
    ) -> None:
        """Accept up to *max_connections* at a time; further ones wait."""
        self.counters, self.timeouts = ClamdCounters(), timeouts
        self.buffer = memoryview(bytearray(MAX_READ))
        self._settings, self._limit = settings, max_connections
        self._networks = [ip_network(network, strict=False) for network in settings.peers]
        self._responder = ClamdResponder(checks, settings, self.counters)
        self._listeners: list[socket.socket] = []
        self._connections: set[ClamdConnection] = set()
        self._is_accepting = False
        self._next_fault_log = float("-inf")
        self._sweeping: asyncio.Task[None] | None = None
        self._empty = asyncio.Event()

    @property
    def connection_count(self) -> int:
        """Return the number of open connections."""
        return len(self._connections)

    async def start(self, listeners: Sequence[socket.socket]) -> None:
        """Serve *listeners*, which belong to the server from now on."""
        self._listeners = list(listeners)
        for listener in self._listeners:
            listener.setblocking(False)
        self._sweeping = asyncio.create_task(self._sweep())
        self._accept_more()

    async def close(self) -> None:
        """Stop accepting, let requests under way end for a few seconds, and close."""
        self._stop_accepting()
        for listener in self._listeners:
            listener.close()
        self._listeners = []
        for connection in [c for c in self._connections if c.is_idle]:
            connection.stop(NOT_DETERMINED)
        self._empty = asyncio.Event()
        with suppress(TimeoutError):
            if self._connections:
                await asyncio.wait_for(self._empty.wait(), self.timeouts.close)
        for connection in [*self._connections]:
            connection.stop(NOT_DETERMINED)
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None

    async def stats(self) -> bytes:
        """Return the reply to STATS."""
        return await self._responder.stats(len(self._connections), self._limit)

    def report_fault(self, peer: Peer) -> None:
        """Count a client that does not keep to the protocol, and log it at intervals."""
        self.counters.faults += 1
        now = asyncio.get_running_loop().time()
        if now >= self._next_fault_log:
            self._next_fault_log = now + _LOG_INTERVAL
            _log.warning(
                "invalid bytes from %s on the clamd socket, %d times since the start",
                peer,
                self.counters.faults,
            )

    def report_stream(self, peer: Peer, size: int, last_chunk: int) -> None:
        """Count contents that look cut, and log the first of each client."""
        name = peer.address if peer.uid is None else f"user {peer.uid}"
        if self.counters.count_stream(name, size, last_chunk):
            _log.warning(
                "%s seems to cut what it sends: a content of %d bytes ends at a usual limit of"
                " clients; raise the limit of the client, see docs/clamd.md",
                name,
                size,
            )

    def forget(self, connection: ClamdConnection) -> None:
        """Drop a closed connection, and accept another one."""
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()
        if self._listeners and not self._is_accepting:
            self._accept_more()

    def _accept_more(self) -> None:
        loop = asyncio.get_running_loop()
        self._is_accepting = True
        for listener in self._listeners:
            loop.add_reader(listener, self._accept, listener)

    def _stop_accepting(self) -> None:
        """Leave further connections in the kernel's queue."""
        loop = asyncio.get_running_loop()
        self._is_accepting = False
        for listener in self._listeners:
            loop.remove_reader(listener)

    def _accept(self, listener: socket.socket) -> None:
        try:
            connected, _ = listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            _log.warning("cannot accept a connection: %s", error.strerror)
            self._stop_accepting()
            asyncio.get_running_loop().call_later(_ACCEPT_RETRY, self._accept_more)
            return
        connected.setblocking(False)
        try:
            peer = Peer.from_socket(connected)
        except OSError:
            connected.close()
            return
        self.counters.connections += 1
        refusal = b""
        if peer.uid is None and not self.permits(peer.address):
            refusal = _FORBIDDEN
            self.counters.refused += 1
        max_stream = self._settings.max_stream
        self._connections.add(
            ClamdConnection(connected, peer, self, self._responder, max_stream, refusal=refusal)
        )
        if len(self._connections) >= self._limit:
            self._stop_accepting()

    def permits(self, address: str) -> bool:
        """Return whether a client at *address* may use the server by TCP."""
        parsed = ip_address(address.partition("%")[0])
        if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        return parsed.is_loopback or any(parsed in network for network in self._networks)

    async def _sweep(self) -> None:
        """End connections whose deadline has passed."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self.timeouts.sweep)
            now = loop.time()
            for connection in [c for c in self._connections if c.deadline < now]:
                connection.expire()
