"""The encoding of every message between our processes: strict JSON arrays, by msgspec.

A message is a frozen :class:`Message`, written as a JSON array that begins with its tag.
:class:`MessageDecoder` accepts only the bytes that :func:`encode` writes: a field too many, a
value of another type, out of range or in another spelling ends in :class:`ProtocolError`.
"""

from __future__ import annotations

from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import Meta
from msgspec.structs import force_setattr

from hashwacht.core.text import replace_unprintable
from hashwacht.ipc.frames import ProtocolError

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
