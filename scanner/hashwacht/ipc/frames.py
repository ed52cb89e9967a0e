"""How messages are cut out of a stream: a version, a number and a length before each.

The number is the asker's: the reply bears it, so that many may be under way on one connection.
"""

from __future__ import annotations

import struct

VERSION = 1
"""Raised with every change of a message.  Scanner and courier come from one installation."""

HEADER = struct.Struct("!BxxxII")
"""Version, number, length of what follows in bytes."""

MAX_BODY = 1 << 20
"""Bytes of one message."""


class ProtocolError(ValueError):
    """Bytes that no process of ours would send.  The connection is then of no use any more."""


def pack_frame(number: int, body: bytes) -> bytes:
    """Put the head before a body.  Raises ValueError for one that is too long."""
    if len(body) > MAX_BODY:
        raise ValueError(f"a message of {len(body)} bytes")
    return HEADER.pack(VERSION, number, len(body)) + body


def parse_header(head: bytes) -> tuple[int, int]:
    """Give number and length.  Raises Nonsense."""
    version, number, length = HEADER.unpack(head)
    if version != VERSION or head[1:4] != b"\0\0\0":
        raise ProtocolError("a message of another version: restart all parts of the daemon")
    if length > MAX_BODY:
        raise ProtocolError("a message that is too long")
    return number, length
