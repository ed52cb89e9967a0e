"""The bounded queue between the watch and the journaler."""

from __future__ import annotations

import threading
from collections import OrderedDict

from hashwacht.core.watch_events import Announcement, Cause, MissedEvents

MAX_GAPS = 1024
"""Gaps held at a time; beyond that, a gap of a part of a root becomes one of the whole root."""


class AnnouncementQueue:
    """Announcements from any number of threads, each path once, the oldest first.

    Announcing never waits.  What does not fit is dropped and reported as a gap of its root
    (QUEUE_FULL), so every announcement is either drained or covered by a gap.
    """

    def __init__(self, limit: int) -> None:
        """Hold at most *limit* announcements, some 300 bytes each."""
        self._limit = limit
        self._filled = threading.Condition(threading.Lock())
        self._waiting = 0
        self._files: OrderedDict[bytes, Announcement] = OrderedDict()
        self._gaps: dict[tuple[str, Cause, bytes], MissedEvents] = {}

    def announce(self, announcement: Announcement) -> None:
        """Add a file; of two announcements of a path the later one counts."""
        with self._filled:
            path, root = announcement.path, announcement.root
            before = self._files.get(path)
            if before is None and len(self._files) >= self._limit:
                self._add_gap(MissedEvents(root, Cause.QUEUE_FULL, "too many files at a time"))
            elif before is None or announcement.tree or not before.tree:
                self._files[path] = announcement
            if self._waiting:
                self._filled.notify()

    def report_missed(self, missed: MissedEvents) -> None:
        """Add a gap."""
        with self._filled:
            self._add_gap(missed)
            if self._waiting:
                self._filled.notify()

    def drain(self, at_most: int, timeout: float) -> tuple[list[Announcement], list[MissedEvents]]:
        """Remove and return at most *at_most* announcements, the oldest first, and all gaps.

        Waits up to *timeout* seconds for the first announcement or gap.
        """
        with self._filled:
            self._waiting += 1
            try:
                self._filled.wait_for(lambda: self._files or self._gaps, timeout)
            finally:
                self._waiting -= 1
            number = min(at_most, len(self._files))
            files = [self._files.popitem(last=False)[1] for _ in range(number)]
            gaps, self._gaps = list(self._gaps.values()), {}
        return files, gaps

    def __len__(self) -> int:
        return len(self._files)

    def _add_gap(self, missed: MissedEvents) -> None:
        key = missed.root, missed.cause, missed.path
        if key not in self._gaps and len(self._gaps) >= MAX_GAPS:
            key = missed.root, missed.cause, b""
            missed = MissedEvents(missed.root, missed.cause, missed.detail)
        self._gaps[key] = missed
