"""Recording announcements in the journal: the first thing that happens to an event.

Events that were taken from the watch's queue are in the journal, or are a gap, before further ones
are taken.  While the storage cannot be written the queue fills up, and what does not fit becomes a
gap.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

from hashwacht.core.watch_events import (
    Announcement,
    Cause,
    Change,
    Lane,
    MissedEvents,
    WatchPosition,
    account_directory,
)
from hashwacht.daemon.scanner.counters import Counters
from hashwacht.daemon.scanner.runtime import RuntimeHandle
from hashwacht.daemon.scanner.threads import retry_until
from hashwacht.daemon.scanner.watch_monitor import WatchMonitor
from hashwacht.storage.store import Store
from hashwacht.watch.queue import AnnouncementQueue

BATCH = 2000
"""Announcements in one transaction."""

WAIT = 0.5
"""Seconds to wait for an announcement before the stop is checked."""

LASTING = frozenset({Cause.UNMOUNTED, Cause.REMOTE, Cause.WATCH_LIMIT, Cause.DEAD_WATCH})
"""Causes that continue: the watch monitor finds their end."""


class Journaler:
    """Records what is announced.  ``run`` in a thread of its own.

    All events up to the Unix time ``journaled_until`` are recorded; ``last_round`` is when, in
    monotonic seconds, the thread was last alive.
    """

    def __init__(
        self,
        queue: AnnouncementQueue,
        store: Store,
        runtime: RuntimeHandle,
        *,
        counters: Counters,
        stop: threading.Event,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Return from ``run`` after *stop* when the queue is empty: close the watch first."""
        self._queue, self._store, self._runtime = queue, store, runtime
        self._counters, self._stop, self._clock = counters, stop, clock
        self._never = threading.Event()
        self.journaled_until = clock()
        self.last_round = time.monotonic()

    def run(self, monitor: WatchMonitor, on_recorded: Callable[[bool, bool], None]) -> None:
        """Record until the stop; *monitor* receives every event first, and drops canaries.

        *on_recorded* is called after each batch with whether it held directories, and gaps.  A stop
        does not interrupt a wait for the storage: what was taken must be recorded.
        """
        while True:
            self._mark_alive()
            before = self._clock()
            stopping = self._stop.is_set()
            announcements, missed = self._queue.drain(BATCH, WAIT, everything=stopping)
            if not announcements and not missed:
                self.journaled_until = before - self._queue.lag
                if stopping:
                    return
                continue
            files = self._in_roots(
                [event for event in announcements if not monitor.on_event(event)]
            )
            for report in missed:
                monitor.on_gap(report)
            position = self._queue.position
            record = partial(self._record, files, missed, position)
            retry_until(record, self._never, self._mark_alive)
            monitor.acknowledge(position)
            self._counters.count_announced(len(files), len(missed))
            if not len(self._queue):
                self.journaled_until = before - self._queue.lag
            on_recorded(any(file.tree for file in files), bool(missed))

    def _mark_alive(self) -> None:
        self.last_round = time.monotonic()

    def _in_roots(self, announcements: Iterable[Announcement]) -> list[Announcement]:
        roots = self._runtime.current.roots
        pairs = (
            (event, (roots.innermost if event.tree else roots.scanned_root)(event.path))
            for event in announcements
        )
        return [
            replace(event, root=root.name, account=account_directory(root.path, event.path))
            for event, root in pairs
            if root is not None
        ]

    def _record(
        self,
        files: Sequence[Announcement],
        missed: Sequence[MissedEvents],
        position: WatchPosition | None,
    ) -> None:
        now = self._clock()
        written = [file for file in files if file.change is not Change.ATTRIBUTES]
        changed = [file for file in files if file.change is Change.ATTRIBUTES]
        with self._store.transaction():
            self._store.journal.record(written, Lane.UPLOAD, now)
            # Its content differs from the storage's for no other reason than its change time.
            self._store.journal.record(changed, Lane.RECONCILE, now)
            for report in missed:
                ended = None if report.cause in LASTING else now
                self._store.gaps.record(report, min(self.journaled_until, now), ended)
            if position is not None:
                self._store.gaps.record_position(position)
