"""One connection to the daemon's socket for uploads: messages, and a descriptor with the first."""

from __future__ import annotations

import socket
import time
from collections import deque

from hashwacht.ipc.codec import FrameSplitter, Message, ProtocolError, encode, pack_frame

_NUMBER = 1
"""There is one request on a connection."""

_PIECE = 64 << 10


class ConnectionClosed(Exception):
    """The other end has closed the connection."""


class UploadChannel:
    """One connection: messages, and a descriptor with the first.  Not thread-safe.

    A descriptor belongs to the first byte of the message it was sent with (unix(7)); the kernel
    closes those that come elsewhere, or beyond the number that is asked for.
    """

    def __init__(self, connected: socket.socket, max_body: int) -> None:
        """Take over a connected socket; no message may be longer than *max_body* bytes."""
        self._socket = connected
        self._splitter = FrameSplitter(max_body)
        self._messages: deque[tuple[int, bytes]] = deque()

    def send(self, message: Message, seconds: float, fd: int | None = None) -> None:
        """Send a message, with a descriptor.  Raises ConnectionClosed, TimeoutError."""
        pending = memoryview(pack_frame(_NUMBER, encode(message)))
        try:
            self._socket.settimeout(seconds)
            if fd is not None:
                pending = pending[socket.send_fds(self._socket, [pending], [fd]) :]
            if pending:  # an empty send fails as well if the other end has replied and gone
                self._socket.sendall(pending)
        except TimeoutError:
            raise
        except OSError as error:
            raise _closed(error) from error

    def receive(self, seconds: float, fds: list[int] | None = None) -> bytes:
        """Return the next message.  Raises ConnectionClosed, TimeoutError, ProtocolError.

        A descriptor that comes with its first byte is appended to *fds*, for the caller to close
        whatever is raised.
        """
        deadline = time.monotonic() + seconds
        while not self._messages:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError
            self._socket.settimeout(remaining)
            self._messages += self._splitter.feed(self._receive_piece(fds))
            fds = None
        number, body = self._messages.popleft()
        if number != _NUMBER:
            raise ProtocolError("an unexpected message")
        return body

    def _receive_piece(self, fds: list[int] | None) -> bytes:
        try:
            if fds is None:
                piece = self._socket.recv(_PIECE)
            else:
                flags = socket.MSG_CMSG_CLOEXEC
                piece, received, _, _ = socket.recv_fds(self._socket, _PIECE, 1, flags)
                fds += received
        except TimeoutError:
            raise
        except OSError as error:
            raise _closed(error) from error
        if not piece:
            raise ConnectionClosed("the connection was closed")
        return piece

    def close(self) -> None:
        """Close the connection.  Idempotent."""
        self._socket.close()


def _closed(error: OSError) -> ConnectionClosed:
    return ConnectionClosed(error.strerror or "the connection was closed")
