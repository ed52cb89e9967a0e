"""An isolated network in which every packet is captured (Linux, root).

::

    with private_network(), Capture() as capture:
        ...  # sockets, threads and processes that begin here live in it
    capture.packets

Loopback is the only interface and the default route, so a packet to any address is captured too.
"""

from __future__ import annotations

import ctypes
import ipaddress
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

CLONE_NEWNET = 0x40000000
"""unshare(2), setns(2); Python's os module has both from 3.12 on."""

ETH_P_ALL, SOL_PACKET, PACKET_STATISTICS = 0x0003, 263, 6
"""packet(7)."""

ROOM = 64 << 20
"""Bytes of packets that may wait to be read."""

_IPV4 = struct.Struct("!BxH4xxBxx4s4s")
_TCP = struct.Struct("!HHI4xB")


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet on the wire: the raw bytes and the decoded headers; *payload* is that of TCP."""

    raw: bytes
    to: str
    ports: tuple[int, int] = (0, 0)
    sequence: int = 0
    payload: bytes = b""

    @classmethod
    def read(cls, raw: bytes) -> Packet:
        """Decode the headers; a packet that is not TCP over IPv4 keeps only its raw form."""
        if raw[0] >> 4 != 4:  # the protocol version
            return cls(raw, str(ipaddress.ip_address(raw[24:40])))
        first, length, protocol, _, to = _IPV4.unpack_from(raw)
        target = str(ipaddress.ip_address(to))
        if protocol != socket.IPPROTO_TCP:
            return cls(raw, target)
        head = 4 * (first & 15)
        source, port, sequence, offset = _TCP.unpack_from(raw, head)
        payload = raw[head + 4 * (offset >> 4) : length]
        return cls(raw, target, (source, port), sequence, payload)


@contextmanager
def private_network() -> Iterator[None]:
    """Move this thread into a new network until the end.  Raises OSError if not permitted."""
    libc = ctypes.CDLL(None, use_errno=True)
    back = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        try:
            for change in (
                "link set lo up",
                "route add default dev lo",
                "-6 route add ::/0 dev lo",
            ):
                subprocess.run(["ip", *change.split()], check=True)
            yield
        finally:
            if libc.setns(back, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(back)


@dataclass(slots=True)
class Capture:
    """Captures all packets on all interfaces, once each, while the context is open."""

    packets: list[Packet] = field(default_factory=list)
    _socket: socket.socket = field(init=False)
    _thread: threading.Thread = field(init=False)
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        everything = socket.htons(ETH_P_ALL)
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, everything)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
        self._socket.settimeout(0.1)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        counts = self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
        self._socket.close()
        _, dropped = struct.unpack("II", counts)
        assert not dropped, "the capture dropped packets, so it proves nothing"

    def _read(self) -> None:
        """Read packets until the end is requested and no packet is waiting."""
        while True:
            try:
                raw, (_, _, kind, *_) = self._socket.recvfrom(1 << 17)
            except TimeoutError:
                if self._ended.is_set():
                    return
                continue
            if kind == socket.PACKET_OUTGOING:  # on loopback it also arrives as an incoming packet
                self.packets.append(Packet.read(raw))

    def streams_to(self, port: int) -> list[bytes]:
        """Reassemble the data sent to *port*, one text for each connection."""
        parts: dict[int, dict[int, bytes]] = {}
        for packet in self.packets:
            if packet.ports[1] == port and packet.payload:
                part = parts.setdefault(packet.ports[0], {})
                part.setdefault(
                    packet.sequence, packet.payload
                )  # a retransmission has the same payload
        return [b"".join(part.values()) for part in parts.values()]
