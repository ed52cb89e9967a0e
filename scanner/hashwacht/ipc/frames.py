"""Frames: how messages are cut out of a byte stream.

Each message follows a header with the protocol version, a number and its length.  The number is
the client's; the reply carries it, so that many requests can be under way on one connection.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

VERSION = 2
"""Raised with every change of a message."""

HEADER = struct.Struct("!BxxxII")
"""Version, number, length of the body in bytes."""

MAX_BODY = 1 << 20
"""Bytes of one message."""


class ProtocolError(ValueError):
    """Bytes that violate the protocol.  The connection cannot be used any more."""


def pack_frame(number: int, body: bytes) -> bytes:
    """Return *body* with its header.  Raises ValueError if it is too long."""
    if len(body) > MAX_BODY:
        raise ValueError(f"a message of {len(body)} bytes is too long")
    return HEADER.pack(VERSION, number, len(body)) + body


def parse_header(header: bytes, max_body: int = MAX_BODY) -> tuple[int, int]:
    """Return number and length of a body of at most *max_body* bytes.  Raises ProtocolError."""
    version, number, length = HEADER.unpack(header)
    if version != VERSION or header[1:4] != b"\0\0\0":
        raise ProtocolError("a message of another version: restart all parts of the daemon")
    if length > max_body:
        raise ProtocolError("a message that is too long")
    return number, length


class FrameSplitter:
    """Cuts a byte stream, in whatever pieces it arrives, into messages."""

    def __init__(self, max_body: int = MAX_BODY) -> None:
        self._max_body = max_body
        self._pending = bytearray()

    def feed(self, piece: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield number and body of every complete message.  Raises ProtocolError.

        A body that is too long is refused before it has arrived.
        """
        self._pending += piece
        while len(self._pending) >= HEADER.size:
            number, length = parse_header(bytes(self._pending[: HEADER.size]), self._max_body)
            end = HEADER.size + length
            if len(self._pending) < end:
                return
            body = bytes(self._pending[HEADER.size : end])
            del self._pending[:end]
            yield number, body
