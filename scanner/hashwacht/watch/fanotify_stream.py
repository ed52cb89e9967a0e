"""A stream: what is watched for one scanner, without interruption, and what it has not recorded.

A stream outlives the connection of the scanner and, in systemd's descriptor store, the watcher.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hashwacht.core.watch_events import Cause, MissedEvents, Root
from hashwacht.ipc.codec import encode
from hashwacht.platform import fanotify
from hashwacht.platform.fanotify import FanotifyEvent
from hashwacht.platform.filesystems.mounts import Mounts
from hashwacht.watch.fanotify_log import MessageLog
from hashwacht.watch.fanotify_marks import FanotifyMarks
from hashwacht.watch.fanotify_paths import HandlePath, HandleResolver, WatchedMount
from hashwacht.watch.fanotify_protocol import (
    AnnouncementFlags,
    MissedReply,
    RootsReply,
    WireAnnouncement,
    pack_announcements,
    pack_roots,
)
from hashwacht.watch.queue import RecentWrites

TICK = 1.0
"""Seconds between two checks of the roots."""

_FULL = "the kernel's queue was full (fs.fanotify.max_queued_events)"


@dataclass(frozen=True, slots=True)
class StreamParts:
    """What a stream is made of: its name, its roots, the kernel's group, and its log."""

    name: str
    roots: Sequence[Root]
    group: int
    log: MessageLog


class FanotifyStream:
    """Events of the kernel, as messages in a log.  For one thread at a time."""

    def __init__(self, parts: StreamParts) -> None:
        """Take over *parts*, whose group is closed with this."""
        self.name, self.roots, self.group, self.log = (
            parts.name,
            list(parts.roots),
            parts.group,
            parts.log,
        )
        self.mounts = Mounts()
        self.marks = FanotifyMarks(self.roots, self.group, self.mounts, time.monotonic)
        self._writes = RecentWrites()
        self._checked_at = time.monotonic()

    @classmethod
    def open(cls, roots: Sequence[Root]) -> FanotifyStream:
        """Watch these roots from now on.  Raises OSError."""
        group = fanotify.open_group()
        try:
            stream = cls(StreamParts(secrets.token_hex(8), roots, group, MessageLog(roots)))
        except BaseException:
            os.close(group)
            raise
        stream.report(stream.marks.begin())
        return stream

    def watch(self, roots: Sequence[Root]) -> None:
        """Watch these roots from now on, and no others."""
        self.roots = list(roots)
        self.log.append(encode(RootsReply(pack_roots(roots))), roots)
        self.marks = FanotifyMarks(self.roots, self.group, self.mounts, time.monotonic)
        self.report(self.marks.begin())

    def resume(self, roots: Sequence[Root], number: int) -> list[str] | None:
        """Continue after the message *number*, for a scanner that names these roots.

        Returns the names of the roots that were watched all the time, None if messages are
        missing.  What cannot be watched is reported again.
        """
        if not self.log.rewind(number):
            return None
        self.check(mounts_changed=True)
        if list(roots) == self.roots:
            self.report(self.marks.report_again())
        else:
            self.watch(roots)
        lists = [entry.roots for entry in self.log.entries() if entry.roots is not None]
        watched = set(self.log.roots).intersection(*lists)
        return [root.name for root in roots if root in watched]

    def check(self, *, mounts_changed: bool = False) -> None:
        """Compare the roots with their last state, if that is due."""
        if mounts_changed:
            self.mounts.refresh(changed=True)
        if mounts_changed or time.monotonic() >= self._checked_at + TICK:
            self._checked_at = time.monotonic()
            self.report(self.marks.look(mounts_changed=mounts_changed))

    def report(self, gaps: Iterable[MissedEvents]) -> None:
        """Add gaps to the log."""
        for gap in gaps:
            self.log.append(encode(MissedReply.from_gap(gap)))

    def read_all(self) -> None:
        """Read the events of the kernel until there are none, or the log is full."""
        while not self.log.is_full:
            try:
                events = os.read(self.group, fanotify.READ)
            except BlockingIOError:
                return
            self.announce(events)

    def announce(self, events: bytes) -> None:
        """Add the files of *events*, read from the group, to the log."""
        resolver = HandleResolver(self.marks.places)
        announcements: dict[WireAnnouncement, None] = {}
        try:
            for event in fanotify.parse(events):
                if event.mask & fanotify.OVERFLOW:
                    gaps = (MissedEvents(root.name, Cause.OVERFLOW, _FULL) for root in self.roots)
                    self.report(gaps)
                    continue
                if self._is_repeated(event):
                    continue
                for directory in resolver.resolve(event.fsid, event.handle):
                    self._translate(event, directory, announcements)
        finally:
            resolver.close()
        self.report(self.marks.unresolved(resolver.unresolved))
        for body in pack_announcements(announcements):
            self.log.append(body)

    def close(self) -> None:
        """Stop watching."""
        self.mounts.close()
        os.close(self.group)

    def _is_repeated(self, event: FanotifyEvent) -> bool:
        """Return whether an event is only one more write to an open file."""
        file = event.fsid, event.handle, event.name
        if event.mask & ~fanotify.ON_DIRECTORY == fanotify.MODIFY:
            return self._writes.is_repeated(*file)
        self._writes.forget(*file)
        return False

    def _translate(
        self,
        event: FanotifyEvent,
        directory: HandlePath,
        announcements: dict[WireAnnouncement, None],
    ) -> None:
        path = directory.path.rstrip(b"/") + b"/" + event.name
        moved = event.mask & fanotify.ON_DIRECTORY and event.mask & fanotify.MOVED_TO
        if moved:
            self._report_moved_roots(path, directory.places)
        if directory.place is None:
            return
        if event.mask & fanotify.ON_DIRECTORY and not moved:
            if not (event.mask & fanotify.CREATE and _is_subvolume(path)):
                return
            moved = True
        flags = AnnouncementFlags.TREE if moved else _flags(event.mask)
        announcements[WireAnnouncement(directory.place.root, int(flags), path)] = None

    def _report_moved_roots(self, path: bytes, places: list[WatchedMount]) -> None:
        """Report a gap in roots that have come back to *path*, alone or with a directory above.

        While they were elsewhere, no event in them could be assigned to them.
        """
        for place in places:
            if place.path == path or place.path.startswith(path + b"/"):
                root = self.roots[place.root]
                gap = MissedEvents(root.name, Cause.REPLACED, "a directory was moved there")
                self.report([gap])


def _is_subvolume(path: bytes) -> bool:
    """Return whether a new directory is another volume than the one above it.

    A snapshot of a subvolume is full of files when it is created; other directories are empty.
    """
    try:
        above = os.stat(os.path.dirname(path))  # noqa: PTH116, PTH120  (bytes)
        return os.lstat(path).st_dev != above.st_dev
    except OSError:
        return False


def _flags(mask: int) -> AnnouncementFlags:
    """Return what happened to a file; the kernel merges the events of one name."""
    if mask & fanotify.CLOSE_WRITE:
        return AnnouncementFlags.CLOSED
    if mask & (fanotify.CREATE | fanotify.MOVED_TO):
        return AnnouncementFlags(0)
    if mask & fanotify.MODIFY:
        return AnnouncementFlags.WRITTEN
    return AnnouncementFlags.ATTRIBUTES
