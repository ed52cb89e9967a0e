"""The parts of the messages on the daemon's socket for uploads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Self

from msgspec import Meta

from hashwacht.core.types import Match, Signal
from hashwacht.core.upload_context import MAX_TEXT_CHARACTERS, UploadContext
from hashwacht.ipc.codec import Message, Name, ProtocolError, TypeName, printable

MAX_MATCHES = 64
"""Matches in a verdict; one more would not change it."""

_MAX_NAME = 200

ClientText = Annotated[bytes, Meta(max_length=4 * MAX_TEXT_CHARACTERS)]
"""Text of the client, which need not be valid Unicode: UTF-8 with surrogates."""

Size = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]

_EVENT = re.compile(r"([0-9a-f]{8})?")

Event = Annotated[str, Meta(pattern=rf"\A{_EVENT.pattern}\Z")]
"""The number that a client of the gateway is shown; empty for other applications."""

WirePath = Annotated[bytes, Meta(min_length=1, max_length=4096)]

UserId = Annotated[int, Meta(ge=0, lt=1 << 32)]

WireSignal = tuple[
    TypeName,
    Annotated[str, Meta(pattern=r"\A[!-~]{1,1024}\Z")],
    Annotated[int, Meta(ge=0, le=100)] | None,
    Annotated[str, Meta(pattern=r"\A[a-z0-9:/_-]{0,64}\Z")],
]
"""Type, value, quality and variant."""


class WireMatch(Message, frozen=True):
    """A match, with its texts shortened and printable."""

    matcher: Name
    signal: WireSignal
    distance: Annotated[int, Meta(ge=0, lt=1 << 16)] | None
    category: str
    list: str
    id: str
    known_good: bool
    member: str

    def __post_init__(self) -> None:
        self._fit(_MAX_NAME, "category", "list", "id", "member")


class WireContext(Message, frozen=True):
    """What the application states about an upload.

    Which user submits it, the kernel reports; only the gateway states *submitter_uid* of another.
    """

    received_at: Annotated[str, Meta(max_length=MAX_TEXT_CHARACTERS)]
    address: ClientText
    port: Annotated[int, Meta(ge=0, lt=1 << 16)] | None
    user: ClientText
    path: ClientText
    field: ClientText
    file_name: ClientText
    declared_type: ClientText
    submitter_uid: UserId | None
    event: Event

    @classmethod
    def from_context(cls, context: UploadContext) -> Self:
        """Return the context with its texts cut to what a daemon accepts."""
        return cls(
            printable(context.received_at),
            _to_wire(context.address),
            context.port,
            _to_wire(context.user),
            _to_wire(context.path),
            _to_wire(context.field),
            _to_wire(context.file_name),
            _to_wire(context.declared_type),
            context.submitter_uid,
            context.event if _EVENT.fullmatch(context.event) else "",
        )

    def to_context(self) -> UploadContext:
        """Return the context.  Raises ProtocolError for a bad text or a time without a zone."""
        try:
            zone = datetime.fromisoformat(self.received_at).tzinfo
        except ValueError as error:
            raise ProtocolError("an invalid time") from error
        if zone is None:
            raise ProtocolError("a time without a zone")
        texts = self.address, self.user, self.path, self.field, self.file_name, self.declared_type
        address, user, path, field, file_name, declared = map(_from_wire, texts)
        names = user, path, field, file_name, declared
        submitter = self.submitter_uid, self.event
        return UploadContext(self.received_at, address, self.port, *names, *submitter)


def _to_wire(text: str) -> bytes:
    return text[:MAX_TEXT_CHARACTERS].encode("utf-8", "surrogatepass")


def _from_wire(text: bytes) -> str:
    try:
        decoded = text.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise ProtocolError("a text that is not UTF-8") from error
    if len(decoded) > MAX_TEXT_CHARACTERS:
        raise ProtocolError("a text that is too long")
    return decoded


def to_wire_matches(matches: Sequence[Match], most: int = MAX_MATCHES) -> tuple[WireMatch, ...]:
    """Return as many matches as fit."""
    return tuple(map(_to_wire_match, matches[:most]))


def _to_wire_match(match: Match) -> WireMatch:
    signal = to_wire_signal(match.signal)
    names = match.category, match.list, match.id
    return WireMatch(match.matcher, signal, match.distance, *names, match.known_good, match.member)


def from_wire_match(wire: WireMatch) -> Match:
    """Return the match."""
    signal = Signal(*wire.signal)
    names = (wire.category, wire.list, wire.id)
    return Match(wire.matcher, signal, wire.distance, *names, wire.known_good, wire.member)


def to_wire_signal(signal: Signal) -> WireSignal:
    """Return the signal in a message."""
    return signal.type, signal.value, signal.quality, signal.variant
