"""The bounded queue between those who watch and the one who keeps the journal."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from hashwacht.core.watch_events import Announcement, Cause, MissedEvents

MOST_GAPS = 1024
"""Gaps held at a time; beyond that, one of a part of a root becomes one of the whole root."""


class AnnouncementQueue:
    """Takes announcements from any number of threads, each path once, the oldest first.

    Whoever announces never waits.  What does not fit is forgotten, and its root is missed from
    (QUEUE_FULL): whatever was announced is taken by somebody or covered by a gap of its root.
    """

    def __init__(self, limit: int) -> None:
        """Hold at most *limit* announcements, some 300 bytes each."""
        self._limit = limit
        self._filled = threading.Condition(threading.Lock())
        self._waiting = 0
        self._files: OrderedDict[bytes, Announcement] = OrderedDict()
        self._gaps: dict[tuple[str, Cause, bytes], MissedEvents] = {}

    def announce(self, announcement: Announcement) -> None:
        """Take note of a file; of two announcements of a path the later counts."""
        with self._filled:
            before = self._files.get(announcement.path)
            if before is not None:
                if before.tree and not announcement.tree:
                    announcement = before
                self._files[announcement.path] = announcement
            elif len(self._files) < self._limit:
                self._files[announcement.path] = announcement
            else:
                self._note(
                    MissedEvents(announcement.root, Cause.QUEUE_FULL, "too many files at a time")
                )
            if self._waiting:
                self._filled.notify()

    def report_missed(self, missed: MissedEvents) -> None:
        """Take note of a gap."""
        with self._filled:
            self._note(missed)
            if self._waiting:
                self._filled.notify()

    def drain(self, at_most: int, timeout: float) -> tuple[list[Announcement], list[MissedEvents]]:
        """Take away what is there, at most *at_most* announcements, the oldest first.

        Waits *timeout* seconds for the first announcement or gap.
        """
        deadline = time.monotonic() + timeout
        with self._filled:
            self._waiting += 1
            try:
                while not self._files and not self._gaps:
                    left = deadline - time.monotonic()
                    if left <= 0 or not self._filled.wait(left):
                        break
            finally:
                self._waiting -= 1
            number = min(at_most, len(self._files))
            files = [self._files.popitem(last=False)[1] for _ in range(number)]
            gaps, self._gaps = list(self._gaps.values()), {}
        return files, gaps

    def __len__(self) -> int:
        return len(self._files)

    def _note(self, missed: MissedEvents) -> None:
        key = missed.root, missed.cause, missed.path
        if key not in self._gaps and len(self._gaps) >= MOST_GAPS:
            key = missed.root, missed.cause, b""
            missed = MissedEvents(missed.root, missed.cause, missed.detail)
        self._gaps[key] = missed
