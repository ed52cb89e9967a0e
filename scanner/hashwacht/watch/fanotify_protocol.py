"""The messages between scanner and watcher: roots one way, announcements and gaps the other.

Announcements are packed, as there may be 100,000 a second; all other messages use the codec.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from enum import IntFlag
from typing import Annotated, NamedTuple, Self

from msgspec import Meta

from hashwacht.core.watch_events import Cause, MissedEvents, Root
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


class WatchRequest(Message, frozen=True, tag="watch"):
    """Watch these roots (name, path) until the connection ends or other roots are named."""

    roots: tuple[tuple[str, AbsolutePath], ...]

    @classmethod
    def from_roots(cls, roots: Sequence[Root]) -> Self:
        """Return the request."""
        return cls(tuple((root.name, root.path) for root in roots))

    def to_roots(self) -> list[Root]:
        """Return the roots.  Raises ProtocolError unless their paths are absolute."""
        for _, path in self.roots:
            if not path.startswith(b"/") or b"\0" in path:
                raise ProtocolError("a root whose path is not absolute")
        return [Root(name, path) for name, path in self.roots]


class RenewRequest(Message, frozen=True, tag="renew"):
    """Restart the watch of the root with this number."""

    root: Annotated[int, Meta(ge=0)]


class Ping(Message, frozen=True, tag="ping"):
    """A request to the watcher, and its reply."""


class ReadyReply(Message, frozen=True, tag="ready"):
    """All roots are marked, or reported as missed.  What follows uses their numbers."""


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


WatcherRequest = WatchRequest | RenewRequest | Ping
WatcherReply = ReadyReply | MissedReply | Ping

_request_decoder = MessageDecoder[WatcherRequest](WatcherRequest)
_reply_decoder = MessageDecoder[WatcherReply](WatcherReply)


def frame(message: WatcherRequest | WatcherReply) -> bytes:
    """Return a message as a frame."""
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
    return _reply_decoder.decode(body)


def frame_announcements(announcements: Iterable[WireAnnouncement]) -> Iterator[bytes]:
    """Yield announcements in as many frames as needed."""
    parts, size = [_ANNOUNCEMENTS], 0
    for root, flags, path in announcements:
        parts += _ANNOUNCEMENT.pack(root, flags, len(path)), path
        size += _ANNOUNCEMENT.size + len(path)
        if size >= MAX_ANNOUNCEMENTS_SIZE:
            yield pack_frame(0, b"".join(parts))
            parts, size = [_ANNOUNCEMENTS], 0
    if size:
        yield pack_frame(0, b"".join(parts))


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
