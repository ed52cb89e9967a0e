"""How messages are cut out of a stream: a version, a number and a length before each.

The number is the asker's: the reply bears it, so that many may be under way on one connection.
"""

from __future__ import annotations

import struct

VERSION = 1
"""Raised with every change of a message.  Scanner and courier come from one installation."""

HEAD = struct.Struct("!BxxxII")
"""Version, number, length of what follows in bytes."""

MAX_BODY = 1 << 20
"""Bytes of one message."""


class Nonsense(ValueError):
    """Bytes that no process of ours would send.  The connection is then of no use any more."""


def frame(number: int, body: bytes) -> bytes:
    """Put the head before a body.  Raises ValueError for one that is too long."""
    if len(body) > MAX_BODY:
        raise ValueError(f"a message of {len(body)} bytes")
    return HEAD.pack(VERSION, number, len(body)) + body


def read_head(head: bytes) -> tuple[int, int]:
    """Give number and length.  Raises Nonsense."""
    version, number, length = HEAD.unpack(head)
    if version != VERSION or head[1:4] != b"\0\0\0":
        raise Nonsense("a message of another version: restart all parts of the daemon")
    if length > MAX_BODY:
        raise Nonsense("a message that is too long")
    return number, length
