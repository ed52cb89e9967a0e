"""What the watcher and the scanner tell one another: roots there, names and gaps back.

Each message is framed by :mod:`hashwacht.ipc.frames`, and begins with a letter for its kind.
Announcements are binary, as there may be 100,000 a second; all else is JSON.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Sequence
from enum import IntFlag
from typing import NamedTuple

from hashwacht.core import paths
from hashwacht.core.watch_events import Cause, MissedEvents, Root
from hashwacht.ipc.frames import HEADER, ProtocolError, pack_frame, parse_header

WATCH = b"W"
"""To the watcher: watch these roots, from now on and until we hang up or name others."""
RENEW = b"N"
"""To the watcher: watch this root anew."""
PING = b"P"
"""To the watcher, and back from it at once."""
READY = b"R"
"""From the watcher: everything is marked, or said to be missed.  What follows is of these roots."""
NAMES = b"A"
"""From the watcher: announcements."""
MISSED = b"M"
"""From the watcher: a gap."""

MOST_BYTES = 512 * 1024
"""Of announcements in one message."""

_NAME = struct.Struct("!HBI")


class AnnouncementFlags(IntFlag):
    """The flags of an announcement."""

    TREE = 1
    CLOSED = 2


class WireAnnouncement(NamedTuple):
    """An announcement on its way; *root* is its number in the order of the roots watched."""

    root: int
    bits: int
    path: bytes


def watch(roots: Sequence[Root]) -> bytes:
    """Write WATCH."""
    named = [{"root": each.name, **paths.to_json(each.path)} for each in roots]
    return pack_frame(0, WATCH + json.dumps(named).encode())


def decode_watch(body: bytes) -> list[Root]:
    """Read WATCH.  Raises Nonsense."""
    try:
        found = [Root(str(each["root"]), paths.from_json(each)) for each in json.loads(body)]
    except (ValueError, TypeError, KeyError) as error:
        raise ProtocolError("no list of roots") from error
    if not all(each.path.startswith(b"/") and b"\0" not in each.path for each in found):
        raise ProtocolError("a root that is no absolute path")
    return found


def renew(root: int) -> bytes:
    """Write RENEW."""
    return pack_frame(0, RENEW + b"%d" % root)


def decode_renew(body: bytes, roots: int) -> int:
    """Read RENEW; there are so many roots.  Raises Nonsense."""
    if not body.isdigit() or len(body) > len(str(roots)) or int(body) >= roots:
        raise ProtocolError("no number of a root")
    return int(body)


def missed(gap: MissedEvents) -> bytes:
    """Write MISSED."""
    fields = {"root": gap.root, "cause": gap.cause.value, "detail": gap.detail}
    return pack_frame(0, MISSED + json.dumps({**fields, **paths.to_json(gap.path)}).encode())


def decode_missed(body: bytes) -> MissedEvents:
    """Read MISSED.  Raises Nonsense."""
    try:
        found = json.loads(body)
        cause, path = Cause(found["cause"]), paths.from_json(found)
        return MissedEvents(str(found["root"]), cause, str(found["detail"]), path)
    except (ValueError, TypeError, KeyError) as error:
        raise ProtocolError("no gap") from error


def names(announced: Iterable[WireAnnouncement]) -> Iterator[bytes]:
    """Write NAMES, in as many messages as it takes."""
    parts, size = [NAMES], 0
    for root, bits, path in announced:
        parts += _NAME.pack(root, bits, len(path)), path
        size += _NAME.size + len(path)
        if size >= MOST_BYTES:
            yield pack_frame(0, b"".join(parts))
            parts, size = [NAMES], 0
    if size:
        yield pack_frame(0, b"".join(parts))


def decode_names(body: bytes, roots: int) -> Iterator[WireAnnouncement]:
    """Read NAMES; there are so many roots.  Raises Nonsense."""
    at = 0
    while at < len(body):
        if at + _NAME.size > len(body):
            raise ProtocolError("an announcement that is cut off")
        root, bits, length = _NAME.unpack_from(body, at)
        at += _NAME.size
        if root >= roots or at + length > len(body):
            raise ProtocolError("an announcement that makes no sense")
        yield WireAnnouncement(root, bits, body[at : at + length])
        at += length


class MessageSplitter:
    """Cuts messages out of a stream of bytes."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._rest = bytearray()

    def feed(self, read: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Give the kind and the body of every message that is complete.  Raises Nonsense."""
        self._rest += read
        while len(self._rest) >= HEADER.size:
            _, length = parse_header(bytes(self._rest[: HEADER.size]))
            end = HEADER.size + length
            if len(self._rest) < end:
                return
            message = bytes(self._rest[HEADER.size : end])
            del self._rest[:end]
            yield message[:1], message[1:]
