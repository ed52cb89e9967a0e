"""The messages between scanner and watcher: roots one way, announcements and gaps the other.

What the watcher reports, which is announcements, gaps and changes of the roots, is a *stream*: its
messages have numbers, from 1.  The watcher keeps them until the scanner has acknowledged them, and
sends them again when a scanner continues the stream.  All other messages have the number 0.

Announcements are packed, as there may be 100,000 a second; all other messages use the codec.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from enum import IntFlag
from typing import Annotated, NamedTuple, Self

from msgspec import Meta

from hashwacht.core.watch_events import Cause, MissedEvents, Root, WatchPosition
from hashwacht.ipc.codec import (
    MAX_LINE_LENGTH,
    Message,
    MessageDecoder,
    ProtocolError,
    encode,
    pack_frame,
)

MAX_ANNOUNCEMENTS_SIZE = 512 << 10
"""Bytes of announcements after which a message is full."""

_ANNOUNCEMENTS = b"A"
"""The first byte of packed announcements; all other messages begin with a bracket."""

_ANNOUNCEMENT = struct.Struct("!HBI")
"""Number of the root, flags, length of the path that follows."""

AbsolutePath = Annotated[bytes, Meta(min_length=1)]


WireRoots = tuple[tuple[str, AbsolutePath], ...]
"""Name and path of each root; announcements use its number in this order."""

StreamName = Annotated[str, Meta(pattern=r"\A[0-9a-f]{0,32}\Z")]
MessageNumber = Annotated[int, Meta(ge=0, lt=1 << 32)]


class WatchRequest(Message, frozen=True, tag="watch"):
    """Watch these roots, until others are named or the stream is given up.

    The first request continues *stream* after the message *number*; an empty stream is a new one.
    """

    roots: WireRoots
    stream: StreamName
    number: MessageNumber

    @classmethod
    def from_roots(cls, roots: Sequence[Root], since: WatchPosition | None = None) -> Self:
        """Return the request."""
        return cls(pack_roots(roots), *(since or ("", 0)))

    def to_roots(self) -> list[Root]:
        """Return the roots.  Raises ProtocolError unless their paths are absolute."""
        return unpack_roots(self.roots)


class AcknowledgeRequest(Message, frozen=True, tag="acknowledge"):
    """The messages of the stream up to this number are recorded and need not be sent again."""

    number: MessageNumber


class RenewRequest(Message, frozen=True, tag="renew"):
    """Restart the watch of the root with this number."""

    root: Annotated[int, Meta(ge=0)]


class Ping(Message, frozen=True, tag="ping"):
    """A request to the watcher, and its reply."""


class StreamReply(Message, frozen=True, tag="stream"):
    """The stream that follows, after the message *number*, and the *roots* in force there.

    *uninterrupted* are the names of requested roots that were watched from there on.
    """

    stream: StreamName
    number: MessageNumber
    roots: WireRoots
    uninterrupted: tuple[str, ...]


class RootsReply(Message, frozen=True, tag="roots"):
    """What follows in the stream uses the numbers of these roots."""

    roots: WireRoots


class ReadyReply(Message, frozen=True, tag="ready"):
    """All requested roots are marked, or will be reported as missed."""


class HandoverReply(Message, frozen=True, tag="handover"):
    """The watcher ends, and hands the stream to the one that is started next."""


class MissedReply(Message, frozen=True, tag="missed"):
    """A gap."""

    root: str
    cause: Cause
    detail: str
    path: bytes

    def __post_init__(self) -> None:
        self._fit(MAX_LINE_LENGTH, "detail")

    @classmethod
    def from_gap(cls, gap: MissedEvents) -> Self:
        """Return the reply."""
        return cls(gap.root, gap.cause, gap.detail, gap.path)

    def to_gap(self) -> MissedEvents:
        """Return the gap."""
        return MissedEvents(self.root, self.cause, self.detail, self.path)


class AnnouncementFlags(IntFlag):
    """The flags of an announcement."""

    TREE = 1
    CLOSED = 2
    WRITTEN = 4
    ATTRIBUTES = 8


class WireAnnouncement(NamedTuple):
    """An announcement; *root* is a number in the order of the roots watched."""

    root: int
    flags: int
    path: bytes


WatcherRequest = WatchRequest | AcknowledgeRequest | RenewRequest | Ping
StreamMessage = MissedReply | RootsReply
WatcherReply = StreamReply | ReadyReply | HandoverReply | StreamMessage | Ping

_request_decoder = MessageDecoder[WatcherRequest](WatcherRequest)
_reply_decoder = MessageDecoder[WatcherReply](WatcherReply)


def pack_roots(roots: Sequence[Root]) -> WireRoots:
    """Return roots as they are sent."""
    return tuple((root.name, root.path) for root in roots)


def unpack_roots(roots: WireRoots) -> list[Root]:
    """Return received roots.  Raises ProtocolError unless their paths are absolute."""
    for _, path in roots:
        if not path.startswith(b"/") or b"\0" in path:
            raise ProtocolError("a root whose path is not absolute")
    return [Root(name, path) for name, path in roots]


def frame(message: WatcherRequest | WatcherReply) -> bytes:
    """Return a message outside of the stream as a frame."""
    return pack_frame(0, encode(message))


def decode_request(body: bytes) -> WatcherRequest:
    """Return the request of a scanner.  Raises ProtocolError, and nothing else."""
    request = _request_decoder.decode(body)
    if isinstance(request, WatchRequest):
        request.to_roots()
    return request


def decode_reply(body: bytes, roots: int) -> WatcherReply | list[WireAnnouncement]:
    """Return what a watcher of that many *roots* sends.  Raises ProtocolError."""
    if body.startswith(_ANNOUNCEMENTS):
        return list(_unpack(body, roots))
    reply = _reply_decoder.decode(body)
    if isinstance(reply, StreamReply | RootsReply):
        unpack_roots(reply.roots)
    return reply


def pack_announcements(announcements: Iterable[WireAnnouncement]) -> Iterator[bytes]:
    """Yield announcements in as many bodies of messages as needed."""
    parts, size = [_ANNOUNCEMENTS], 0
    for root, flags, path in announcements:
        parts += _ANNOUNCEMENT.pack(root, flags, len(path)), path
        size += _ANNOUNCEMENT.size + len(path)
        if size >= MAX_ANNOUNCEMENTS_SIZE:
            yield b"".join(parts)
            parts, size = [_ANNOUNCEMENTS], 0
    if size:
        yield b"".join(parts)


def _unpack(body: bytes, roots: int) -> Iterator[WireAnnouncement]:
    offset = len(_ANNOUNCEMENTS)
    while offset < len(body):
        if offset + _ANNOUNCEMENT.size > len(body):
            raise ProtocolError("an announcement that is cut off")
        root, flags, length = _ANNOUNCEMENT.unpack_from(body, offset)
        offset += _ANNOUNCEMENT.size
        if root >= roots or offset + length > len(body):
            raise ProtocolError("an announcement out of range")
        yield WireAnnouncement(root, flags, body[offset : offset + length])
        offset += length
