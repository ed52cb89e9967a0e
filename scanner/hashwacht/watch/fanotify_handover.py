"""Streams without a scanner: those whose scanner restarts, and those of a watcher that restarts.

At its end the watcher puts two descriptors of each stream into systemd's descriptor store: the
kernel's group, which queues events meanwhile, and a file in memory with all else.  A watcher that
is killed stores nothing, so that its stream ends, and the scanner reports a gap.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from typing import Protocol

from hashwacht.core.watch_events import Root
from hashwacht.ipc.codec import Message, MessageDecoder, ProtocolError, encode
from hashwacht.watch.fanotify_log import LoggedMessage, MessageLog
from hashwacht.watch.fanotify_marks import RootIdentity
from hashwacht.watch.fanotify_protocol import (
    StreamName,
    WireRoots,
    pack_roots,
    unpack_roots,
)
from hashwacht.watch.fanotify_stream import FanotifyStream, StreamParts

PREFIX = "stream-"
"""Of the names of all stored descriptors."""

_GROUP, _STATE = "stream-group-", "stream-state-"

MAX_ABSENCE = 900.0
"""Seconds that a stream waits for its scanner, which may take this long to start (its unit)."""

MAX_STREAMS = 4
"""Streams at a time that wait for their scanners."""

ATTACHED_TIMEOUT = 2.0
"""Seconds until the end of a scanner's former connection is noticed."""

_log = logging.getLogger(__name__)


class DescriptorStore(Protocol):
    """Keeps descriptors for the next process of this service."""

    def store(self, name: str, descriptor: int) -> None:
        """Keep a copy of a descriptor."""

    def remove_stored(self, name: str) -> None:
        """Drop the descriptors of a name."""

    def wait_received(self) -> None:
        """Wait until all calls have taken effect."""


class WaitingStreams:
    """The streams whose scanners are not connected.  Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: dict[str, tuple[FanotifyStream, float]] = {}
        self._attached: set[str] = set()

    def take(self, name: str) -> FanotifyStream | None:
        """Return the stream of that name for a scanner, None if there is none."""

        def is_settled() -> bool:
            return name not in self._attached

        with self._changed:
            self._changed.wait_for(is_settled, ATTACHED_TIMEOUT)
            stream, _ = self._waiting.pop(name, (None, 0.0))
            if stream is not None:
                self._attached.add(name)
        return stream

    def attach(self, stream: FanotifyStream) -> None:
        """Note that a new stream has a scanner."""
        with self._changed:
            self._attached.add(stream.name)

    def put(self, stream: FanotifyStream) -> None:
        """Let a stream wait for its scanner; the longest wait ends if there are too many."""
        with self._changed:
            self._attached.discard(stream.name)
            self._waiting[stream.name] = stream, time.monotonic() + MAX_ABSENCE
            if len(self._waiting) > MAX_STREAMS:
                self._end(min(self._waiting, key=lambda name: self._waiting[name][1]))
            self._changed.notify_all()

    def end(self, stream: FanotifyStream) -> None:
        """Close a stream that cannot continue."""
        with self._changed:
            self._attached.discard(stream.name)
            stream.close()
            self._changed.notify_all()

    def maintain(self) -> bool:
        """Read the events of all streams, and end those whose scanners do not come back.

        Returns whether there is a stream.
        """
        with self._changed:
            for name, (stream, until) in [*self._waiting.items()]:
                try:
                    stream.read_all()
                    stream.check()
                    overdue = time.monotonic() >= until
                except OSError as error:
                    _log.warning("a stream without a scanner ended: %s", error)
                    overdue = True
                if overdue:
                    self._end(name)
            return bool(self._waiting)

    def hand_over(self, store: DescriptorStore) -> None:
        """Put all streams into the store, and close them here."""
        with self._changed:
            for stream, _ in self._waiting.values():
                store.store(_GROUP + stream.name, stream.group)
                state = _memory_file(encode(StreamState.of(stream)))
                store.store(_STATE + stream.name, state)
                os.close(state)
            store.wait_received()
            self.close()

    def take_over(self, descriptors: Mapping[str, int], store: DescriptorStore) -> None:
        """Continue the streams of the former process; *descriptors* were stored by it."""
        # A stored state is valid once: what follows is not in it.
        for name in descriptors:
            store.remove_stored(name)
        for name, descriptor in descriptors.items():
            if name.startswith(_GROUP):
                state = descriptors.get(_STATE + name.removeprefix(_GROUP))
                try:
                    self.put(_read_state(state).to_stream(descriptor))
                except (OSError, ProtocolError) as error:
                    _log.warning("a stream of the former watcher cannot be continued: %s", error)
                    os.close(descriptor)
        for name, descriptor in descriptors.items():
            if not name.startswith(_GROUP):
                os.close(descriptor)

    def close(self) -> None:
        """Close all streams."""
        with self._changed:
            for name in [*self._waiting]:
                self._end(name)

    def _end(self, name: str) -> None:
        self._waiting.pop(name)[0].close()


class StreamState(Message, frozen=True, tag="stream-1"):
    """All of a stream but the kernel's group.  Another release may have another tag."""

    name: StreamName
    roots: WireRoots
    acknowledged: int
    roots_before: WireRoots
    entries: tuple[tuple[bytes, WireRoots | None], ...]
    identities: tuple[tuple[int, int, tuple[tuple[bytes, int], ...]] | None, ...]
    marked: tuple[int, ...]

    @classmethod
    def of(cls, stream: FanotifyStream) -> StreamState:
        """Return the state of a stream."""
        return cls(
            stream.name,
            pack_roots(stream.roots),
            stream.log.acknowledged,
            pack_roots(stream.log.roots),
            tuple(
                (frame, None if roots is None else pack_roots(roots))
                for frame, roots in stream.log.entries()
            ),
            tuple(stream.marks.identities()),
            tuple(sorted(stream.marks.marked)),
        )

    def to_stream(self, group: int) -> FanotifyStream:
        """Return the stream that continues with *group*.  Raises OSError, ProtocolError."""
        entries = (
            LoggedMessage(frame, None if roots is None else _roots(roots))
            for frame, roots in self.entries
        )
        log = MessageLog(_roots(self.roots_before), self.acknowledged, entries)
        stream = FanotifyStream(StreamParts(self.name, _roots(self.roots), group, log))
        identities = [
            None if fields is None else RootIdentity(*fields) for fields in self.identities
        ]
        stream.report(stream.marks.take_over(identities, frozenset(self.marked)))
        return stream


_state_decoder = MessageDecoder[StreamState](StreamState)


def _roots(roots: WireRoots) -> tuple[Root, ...]:
    return tuple(unpack_roots(roots))


def _memory_file(content: bytes) -> int:
    descriptor = os.memfd_create("hashwacht-stream", os.MFD_CLOEXEC)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    return descriptor


def _read_state(descriptor: int | None) -> StreamState:
    if descriptor is None:  # the former watcher failed between the two
        raise ProtocolError("its state is missing")
    with open(descriptor, "rb", closefd=False) as file:
        file.seek(0)
        return _state_decoder.decode(file.read())
