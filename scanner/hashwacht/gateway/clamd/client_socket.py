"""The socket of one client in the event loop: reads on demand, sends, and ends so that all arrives.

The kernel discards what is unread, and over TCP also the reply, if a connection is closed while
the other end is sending.  So after the last reply, what still arrives is read and dropped.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass

from hashwacht.ipc.sockets import receive_with_fds


@dataclass(frozen=True, slots=True)
class ClamdTimeouts:
    """Seconds: *command* for the first command, *read* for anything further while it is expected.

    *send* for a client to read its reply, *linger* to stop sending after it; *sweep* between two
    looks at these.  *close* for requests under way when the server ends.
    """

    command: float = 30.0
    read: float = 120.0
    send: float = 5.0
    linger: float = 5.0
    sweep: float = 1.0
    close: float = 3.0


DEFAULT_TIMEOUTS = ClamdTimeouts()


MAX_LINGER = 64 << 20
"""Bytes that are read and dropped after the last reply."""

MAX_UNSENT = 1 << 20
"""Bytes of replies that a client may leave unread."""


class ClientSocket:
    """Sends and receives for one connection.  *deadline* is when it ends unless that moves."""

    __slots__ = (
        "_connected",
        "_dropped",
        "_fd",
        "_is_reading",
        "_loop",
        "_on_closed",
        "_on_readable",
        "_on_sent",
        "_timeouts",
        "deadline",
        "unsent",
    )

    def __init__(
        self,
        connected: socket.socket,
        timeouts: ClamdTimeouts,
        on_readable: Callable[[], None],
        on_sent: Callable[[], None],
        on_closed: Callable[[], None],
    ) -> None:
        """Take over *connected*, which does not block.

        *on_readable* is called while there is something to read, *on_sent* when the client has
        taken all that it had left unread, *on_closed* once, at the end.
        """
        self._connected, self._timeouts = connected, timeouts
        self._on_readable, self._on_sent, self._on_closed = on_readable, on_sent, on_closed
        self._loop = asyncio.get_running_loop()
        self._fd = connected.fileno()
        self._is_reading = False
        self._dropped = 0
        self.unsent = b""
        self.deadline = self._loop.time() + timeouts.command

    @property
    def is_closed(self) -> bool:
        """Return whether the connection is closed."""
        return self._fd < 0

    def receive(self, buffer: memoryview) -> tuple[int, list[int]] | None:
        """Read once; return bytes and descriptors, None if there is nothing.  Raises OSError."""
        try:
            received = receive_with_fds(self._connected, buffer)
        except BlockingIOError:
            return None
        self.extend()
        return received

    def extend(self) -> None:
        """Move the deadline, unless the client has to read first."""
        if not self.unsent:
            self.deadline = self._loop.time() + self._timeouts.read

    def resume(self) -> None:
        """Read when there is something."""
        if not self._is_reading:
            self._is_reading = True
            self._loop.add_reader(self._fd, self._on_readable)

    def pause(self) -> None:
        """Leave what arrives in the kernel's buffer, which makes the client wait."""
        if self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._fd)

    def send(self, data: bytes) -> None:
        """Send now what the client's buffer takes, and the rest when it reads."""
        if self.is_closed or not data:
            return
        sent = 0
        if not self.unsent:
            try:
                sent = self._connected.send(data)
            except BlockingIOError:
                pass
            except OSError:  # clamdscan --ping does not wait for the reply
                self.close()
                return
        if sent < len(data):
            if not self.unsent:
                self._loop.add_writer(self._fd, self._on_writable)
                self.deadline = self._loop.time() + self._timeouts.send
            self.unsent += data[sent:]
            if len(self.unsent) > MAX_UNSENT:
                self.close()

    def _on_writable(self) -> None:
        try:
            sent = self._connected.send(self.unsent)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        self.unsent = self.unsent[sent:]
        if not self.unsent:
            self._loop.remove_writer(self._fd)
            self._on_sent()

    def linger(self, buffer: memoryview) -> None:
        """End our direction, which clients wait for; drop what still arrives, for a while."""
        self.pause()
        try:
            self._connected.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
            return
        self.deadline = self._loop.time() + self._timeouts.linger
        self._is_reading = True
        self._loop.add_reader(self._fd, self._drop, buffer)
        self._drop(buffer)

    def _drop(self, buffer: memoryview) -> None:
        """Read and drop; close at the end of input."""
        try:
            size = self._connected.recv_into(buffer)
        except BlockingIOError:
            return
        except OSError:
            size = 0
        self._dropped += size
        if not size or self._dropped > MAX_LINGER:
            self.close()

    def close(self) -> None:
        """Close now.  Idempotent."""
        if self.is_closed:
            return
        self.pause()
        self._loop.remove_writer(self._fd)
        self._fd = -1
        self._connected.close()
        self._on_closed()
