"""One connection between an application and the daemon: messages, and a descriptor with the first.

A descriptor belongs to the first byte of the message that it was sent with (unix(7)); the kernel
closes whatever comes in another place, or beyond the number that is asked for.
"""

from __future__ import annotations

import os
import socket
import time

from hashwacht.ipc.frames import HEADER, ProtocolError, pack_frame, parse_header

_NUMBER = 1
"""There is one question on a connection."""

_PIECE = 64 << 10


class ConnectionClosed(Exception):
    """The other end has gone."""


class UploadChannel:
    """Takes a connected socket, which ``close`` closes.  For one thread at a time."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._received = b""

    def send(self, body: bytes, seconds: float, fd: int | None = None) -> None:
        """Send one message, with a descriptor.  Raises ConnectionClosed, TimeoutError."""
        message = memoryview(pack_frame(_NUMBER, body))
        try:
            self._socket.settimeout(seconds)
            if fd is not None:
                message = message[socket.send_fds(self._socket, [message], [fd]) :]
            if message:  # to send nothing to who has answered and gone is an error, too
                self._socket.sendall(message)
        except TimeoutError:
            raise
        except OSError as error:
            raise ConnectionClosed(error.strerror or "it hung up") from error

    def receive(self, seconds: float, most: int) -> bytes:
        """Give the next message.  Raises ConnectionClosed, TimeoutError, Nonsense."""
        deadline = time.monotonic() + seconds
        number, length = parse_header(self._read(HEADER.size, deadline))
        if number != _NUMBER or length > most:
            raise ProtocolError("a message that nobody waits for")
        return self._read(length, deadline)

    def receive_with_fd(self, seconds: float, most: int, files: list[int]) -> bytes:
        """As ``receive``; the descriptor that comes with it, if any, is added to *files*.

        Whoever calls closes it, whatever is raised.
        """
        self._socket.settimeout(seconds)
        try:
            self._received, found, _, _ = socket.recv_fds(
                self._socket, HEADER.size, 1, socket.MSG_CMSG_CLOEXEC
            )
        except TimeoutError:
            raise
        except OSError as error:
            raise ConnectionClosed(error.strerror or "it hung up") from error
        files += found
        return self.receive(seconds, most)

    def _read(self, length: int, deadline: float) -> bytes:
        """Read just so many bytes; what was read with a descriptor comes first."""
        parts, self._received = bytearray(self._received), b""
        while len(parts) < length:
            self._socket.settimeout(max(1e-3, deadline - time.monotonic()))
            try:
                part = self._socket.recv(min(_PIECE, length - len(parts)))
            except TimeoutError:
                raise
            except OSError as error:
                raise ConnectionClosed(error.strerror or "it hung up") from error
            if not part:
                raise ConnectionClosed("it hung up")
            parts += part
            if time.monotonic() > deadline and len(parts) < length:
                raise TimeoutError
        return bytes(parts)

    def close(self) -> None:
        """Hang up.  Any number of calls."""
        self._socket.close()


def reopen_read_only(fd: int) -> int:
    """Open what *fd* leads to once more, only for reading, with an offset of its own.

    Raises OSError, also if this user may not.  Whoever has the first one can then neither move
    the offset nor be written to through this one.
    """
    return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
