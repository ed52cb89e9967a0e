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

from hashwacht.core.watch_events import Announcement, Cause, Lane, MissedEvents
from hashwacht.daemon.scanner.counters import Counters
from hashwacht.daemon.scanner.runtime import RuntimeHandle
from hashwacht.daemon.scanner.threads import retry_until
from hashwacht.storage.store import Store

BATCH = 2000
"""Announcements in one transaction."""

WAIT = 0.5
"""Seconds to wait for an announcement before it is looked if all shall end."""

LASTING = frozenset({Cause.UNMOUNTED, Cause.REMOTE, Cause.WATCH_LIMIT, Cause.DEAD_WATCH})
"""Causes that go on: it is told when they are over."""


class AnnouncementSource(Protocol):
    """What the watch fills."""

    def drain(self, at_most: int, timeout: float) -> tuple[list[Announcement], list[MissedEvents]]:
        """Wait for the first, then give what is there."""

    def __len__(self) -> int: ...


class EventListener(Protocol):
    """Who looks after the watch, and so listens to what it says."""

    def on_event(self, announcement: Announcement) -> bool:
        """Say if an announcement is but a canary."""

    def on_gap(self, missed: MissedEvents) -> None:
        """Take note of a gap."""


class Journaler:
    """Writes down what is announced.  ``run`` in a thread of its own.

    *healthy* is until when (Unix time) all that was announced is known to be written down,
    *round* when (monotonic seconds) it last came round.
    """

    def __init__(
        self,
        queue: AnnouncementSource,
        store: Store,
        runtime: RuntimeHandle,
        *,
        counting: Counters,
        stop: threading.Event,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """*stop* makes ``run`` return when the queue is empty: end the watch before."""
        self._queue, self._store, self._runtime = queue, store, runtime
        self._counting, self._stop, self._clock = counting, stop, clock
        self._never = threading.Event()
        self.journaled_until = clock()
        self.last_round = time.monotonic()

    def run(self, ear: EventListener, written: Callable[[bool, bool], None]) -> None:
        """Write until the stop.  *ear* keeps canaries back.

        *written* is called after each batch, and told if there were directories, and gaps.
        A stop does not interrupt what waits for the state: what was taken must be written.
        """
        while True:
            self._alive()
            before = self._clock()
            announced, missed = self._queue.drain(BATCH, WAIT)
            if not announced and not missed:
                self.journaled_until = before
                if self._stop.is_set():
                    return
                continue
            heard = [each for each in announced if not ear.on_event(each)]
            for each in missed:
                ear.on_gap(each)
            files = self._belonging(heard)
            retry_until(partial(self._write, files, missed), self._never, self._alive)
            self._counting.count_announced(len(files), len(missed))
            if not len(self._queue):
                self.journaled_until = before
            written(any(each.tree for each in files), bool(missed))

    def _alive(self) -> None:
        self.last_round = time.monotonic()

    def _belonging(self, announced: Iterable[Announcement]) -> list[Announcement]:
        """Give those that lie in a root and are wanted there, each to the innermost root."""
        roots = self._runtime.current.roots
        found = (
            (each, (roots.innermost if each.tree else roots.scanned_root)(each.path))
            for each in announced
        )
        return [replace(each, root=root.name) for each, root in found if root is not None]

    def _write(self, files: Sequence[Announcement], missed: Sequence[MissedEvents]) -> None:
        now = self._clock()
        with self._store.transaction():
            self._store.journal.record(files, Lane.UPLOAD, now)
            for each in missed:
                ended = None if each.cause in LASTING else now
                self._store.gaps.record(each, min(self.journaled_until, now), ended)
