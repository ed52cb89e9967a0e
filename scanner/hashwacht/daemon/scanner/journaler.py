"""From the watch into the journal: the first thing that happens to an announcement.

What was taken from the watch's queue is in the journal, or is a gap, before anything else is
taken.  While the state cannot be written the queue fills, and what does not fit becomes a gap.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from hashwacht.core.watch_events import Announcement, Cause, Lane, Missed
from hashwacht.daemon.scanner.counters import Counting
from hashwacht.daemon.scanner.runtime import Current
from hashwacht.daemon.scanner.threads import patiently
from hashwacht.storage.store import Store

BATCH = 2000
"""Announcements in one transaction."""

WAIT = 0.5
"""Seconds to wait for an announcement before it is looked if all shall end."""

LASTING = frozenset({Cause.UNMOUNTED, Cause.REMOTE, Cause.WATCH_LIMIT, Cause.DEAD_WATCH})
"""Causes that go on: it is told when they are over."""


class Queue(Protocol):
    """What the watch fills."""

    def take(self, at_most: int, timeout: float) -> tuple[list[Announcement], list[Missed]]:
        """Wait for the first, then give what is there."""

    def __len__(self) -> int: ...


class Ear(Protocol):
    """Who looks after the watch, and so listens to what it says."""

    def hear(self, announcement: Announcement) -> bool:
        """Say if an announcement is but a canary."""

    def hear_missed(self, missed: Missed) -> None:
        """Take note of a gap."""


class Journaler:
    """Writes down what is announced.  ``run`` in a thread of its own.

    *healthy* is until when (Unix time) all that was announced is known to be written down,
    *round* when (monotonic seconds) it last came round.
    """

    def __init__(
        self,
        queue: Queue,
        store: Store,
        current: Current,
        *,
        counting: Counting,
        stop: threading.Event,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """*stop* makes ``run`` return when the queue is empty: end the watch before."""
        self._queue, self._store, self._current = queue, store, current
        self._counting, self._stop, self._clock = counting, stop, clock
        self._never = threading.Event()
        self.healthy = clock()
        self.round = time.monotonic()

    def run(self, ear: Ear, written: Callable[[bool, bool], None]) -> None:
        """Write until the stop.  *ear* keeps canaries back.

        *written* is called after each batch, and told if there were directories, and gaps.
        A stop does not interrupt what waits for the state: what was taken must be written.
        """
        while True:
            self._alive()
            before = self._clock()
            announced, missed = self._queue.take(BATCH, WAIT)
            if not announced and not missed:
                self.healthy = before
                if self._stop.is_set():
                    return
                continue
            heard = [each for each in announced if not ear.hear(each)]
            for each in missed:
                ear.hear_missed(each)
            files = self._belonging(heard)
            patiently(partial(self._write, files, missed), self._never, self._alive)
            self._counting.announced(len(files), len(missed))
            if not len(self._queue):
                self.healthy = before
            written(any(each.tree for each in files), bool(missed))

    def _alive(self) -> None:
        self.round = time.monotonic()

    def _belonging(self, announced: Iterable[Announcement]) -> list[Announcement]:
        """Give those that lie in a root and are wanted there, each to the innermost root."""
        roots = self._current.now.roots
        found = ((each, (roots.of if each.tree else roots.wanted)(each.path)) for each in announced)
        return [replace(each, root=root.name) for each, root in found if root is not None]

    def _write(self, files: Sequence[Announcement], missed: Sequence[Missed]) -> None:
        now = self._clock()
        with self._store.transaction():
            self._store.journal.add(files, Lane.UPLOAD, now)
            for each in missed:
                ended = None if each.cause in LASTING else now
                self._store.gaps.open(each, min(self.healthy, now), ended)
