"""The encoding of messages between our processes: frames of strict JSON arrays, by msgspec.

A frame is a header with the protocol version, a number and a length, followed by a message.  The
number is the client's; the reply carries it, so that many requests can be under way on one
connection.

A message is a frozen :class:`Message`, written as a JSON array that begins with its tag.
:class:`MessageDecoder` accepts only the bytes that :func:`encode` writes: a field too many, a
value of another type, out of range or in another spelling ends in :class:`ProtocolError`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import Meta
from msgspec.structs import force_setattr

from hashwacht.core.text import replace_unprintable

VERSION = 4
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


MAX_LINE_LENGTH = 400
"""Characters of an explanation."""

Name = Annotated[str, Meta(pattern=r"\A[a-z0-9][a-z0-9_-]{0,63}\Z")]
"""The name of a matcher or channel, as in the configuration."""

TypeName = Annotated[str, Meta(pattern=r"\A[a-z0-9_]{1,64}\Z")]
"""The name of a signal type."""

T = TypeVar("T")


class Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Base of all messages and of their parts.

    A part with free text shortens it and replaces what is not printable when it is created.  A
    decoded message with other text then differs from the bytes it came from and is refused.
    """

    def _fit(self, most: int, *names: str) -> None:
        for name in names:
            force_setattr(self, name, printable(getattr(self, name), most))


class MessageDecoder(Generic[T]):
    """Decodes the messages of one union of types."""

    def __init__(self, messages: Any) -> None:
        self._decoder = msgspec.json.Decoder(messages)

    def decode(self, body: bytes) -> T:
        """Return the message.  Raises ProtocolError, and nothing else, for all other bytes."""
        try:
            message: T = self._decoder.decode(body)
        except (ValueError, RecursionError) as error:
            raise ProtocolError(f"an invalid message: {printable(str(error))}") from error
        if encode(message) != body:
            raise ProtocolError("a message that is not in canonical form")
        return message


def encode(message: object) -> bytes:
    """Return the bytes of a message."""
    return _ENCODER.encode(message)


def printable(text: str, most: int = MAX_LINE_LENGTH) -> str:
    """Return a text cut to *most* characters, with "?" for each that is not printable."""
    return replace_unprintable(text[:most], "?")


_ENCODER = msgspec.json.Encoder()
