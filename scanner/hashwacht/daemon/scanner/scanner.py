"""The scanner: every announced file is journaled, read, judged and acted on; gaps are covered.

::

    watch ──▶ queue ──▶ journaler ──▶ journal ──▶ dispatcher ──▶ readers ──▶ recorders
                           │  gaps ──▶ reconciler ──▲ (walks)       │            │
                           └─ trees ────────────────┘          worker pool   matchers, cases

    pending contents ──▶ recheck loop ──▶ matchers, cases

The journal is the centre.  Everything before it is fast and only writes it; everything after it can
be killed at any time and continues from it.  All threads wait for events; an idle scanner only
checks its queues once a second.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from queue import Empty, SimpleQueue

from hashwacht.core.watch_events import Lane
from hashwacht.daemon.scanner.batch_recorder import BatchRecorder, VerdictProcessor
from hashwacht.daemon.scanner.counters import Counters
from hashwacht.daemon.scanner.dispatcher import Dispatcher
from hashwacht.daemon.scanner.journaler import Journaler
from hashwacht.daemon.scanner.reader_threads import ReaderThreads
from hashwacht.daemon.scanner.readers import FileReader
from hashwacht.daemon.scanner.recheck_loop import RecheckLoop
from hashwacht.daemon.scanner.rescans.reconciler import Reconciler
from hashwacht.daemon.scanner.rescans.trees import TreeWalker
from hashwacht.daemon.scanner.runtime import Runtime, RuntimeHandle
from hashwacht.daemon.scanner.second_looks import SecondLooks
from hashwacht.daemon.scanner.threads import SupervisedThreads
from hashwacht.daemon.scanner.watch_monitor import WatchMonitor
from hashwacht.storage.store import Store
from hashwacht.watch.queue import AnnouncementQueue

_log = logging.getLogger(__name__)

TICK = 0.25
"""Seconds between two calls of ``on_tick``."""

MAINTENANCE_INTERVAL = 2.0
"""Seconds between two checks of the watch."""

RETRY_INTERVAL = 5.0
"""Seconds between two attempts of failed actions."""

MAX_IDLE = 1200.0
"""Seconds without progress after which the scanner is stuck: no content may take so long."""

STOP_SECONDS, ABORT_SECONDS = 0.6, 0.8
"""Seconds that work in progress has to end after a stop, and then after it was aborted."""


class Scanner:
    """Runs once.  The caller closes the pipeline afterwards, and the storage if ``ended``."""

    def __init__(
        self,
        *,
        store: Store,
        runtime: Runtime,
        queue: AnnouncementQueue,
        monitor: WatchMonitor,
        clock: Callable[[], float] = time.time,
        maintenance_interval: float = MAINTENANCE_INTERVAL,
    ) -> None:
        """Take events from *queue*, which the watch behind *monitor* fills; *clock* is Unix time.

        Status and uploads use the public parts.  ``on_watch_checked`` is called after each check of
        the watch, ``on_stop`` before anything is closed that other parts may use.  ``ended`` is set
        at the end if all threads have ended: otherwise the storage must stay open.
        """
        self._store, self._clock = store, clock
        self.monitor, self._maintenance_interval = monitor, maintenance_interval
        self._stop, self._closing = threading.Event(), threading.Event()
        self._watch_closed = threading.Event()
        self._threads = SupervisedThreads(self._stop)
        self._journal_thread = SupervisedThreads(self._stop)
        self._replacements: SimpleQueue[Runtime | None] = SimpleQueue()
        self.runtime, self.counters, self.queue = RuntimeHandle(runtime), Counters(), queue
        self.verdicts = VerdictProcessor(store, self.counters, self._closing, clock)
        self._journaler = Journaler(
            queue, store, self.runtime, counters=self.counters, stop=self._watch_closed, clock=clock
        )
        self._dispatcher = Dispatcher(store, self.runtime, self._stop, clock)
        recorder = BatchRecorder(store, self.verdicts, self._stop, clock)
        reader = FileReader(store, lambda: self.runtime.current.settings, clock)
        self._readers = ReaderThreads(self._dispatcher, reader, recorder, self._stop)
        on_work = self._dispatcher.wakeup.set
        self._second_looks = SecondLooks(store, self.runtime, self._stop, on_work, clock)
        recorder.on_settled = self._second_looks.add
        self._build_background()
        self.on_watch_checked: Callable[[], None] = lambda: None
        self.on_stop: Callable[[], None] = lambda: None
        self.ended = False

    def _build_background(self) -> None:
        """Build the parts that make way for uploads."""
        store, stop, clock = self._store, self._stop, self._clock
        dispatcher, on_work = self._dispatcher, self._dispatcher.wakeup.set

        def has_uploads() -> bool:
            return dispatcher.has_uploads

        self._trees = [
            TreeWalker(
                store,
                self.runtime,
                stop,
                lane=lane,
                has_uploads=has_uploads,
                on_work=on_work,
                clock=clock,
            )
            for lane in (Lane.UPLOAD, Lane.RECONCILE)
        ]
        self._reconciler = Reconciler(
            store, self.runtime, stop, has_uploads=has_uploads, on_work=on_work, clock=clock
        )
        self._recheck = RecheckLoop(
            store, self.runtime, self.verdicts, stop=stop, has_uploads=has_uploads, clock=clock
        )

    def run(self, stop: threading.Event, on_tick: Callable[[], Runtime | None]) -> None:
        """Run until *stop*, then end within two seconds.

        *on_tick* is called several times a second; what it returns replaces the runtime.  Raises
        the error of a thread that cannot continue, and what the watch raises at the start.
        """
        self._start()
        try:
            while not (stop.wait(TICK) or self._stop.is_set()):
                if (runtime := on_tick()) is not None:
                    self._replacements.put(runtime)
        finally:
            self._end()
        if failure := self._threads.failure or self._journal_thread.failure:
            raise failure

    @property
    def is_stuck(self) -> bool:
        """True if no progress was made for a long time."""
        stuck = time.monotonic() - self._journaler.last_round > MAX_IDLE
        return stuck or self._dispatcher.is_stuck(MAX_IDLE)

    def _start(self) -> None:
        """Start the journaler before the watch, so that no event has to wait."""
        self._journal_thread.start(
            "journaler", lambda: self._journaler.run(self.monitor, self._wake), vital=True
        )
        try:
            self.monitor.begin(self.runtime.current.roots)
        except BaseException:
            self._end()
            raise
        self._readers.start(self._threads)
        self._threads.start("dispatcher", self._dispatcher.run)
        for number, trees in enumerate(self._trees):
            self._threads.start(f"trees-{number}", trees.run)
        self._threads.start("reconciler", self._reconciler.run)
        self._threads.start("recheck", self._recheck.run)
        self._threads.start("second-looks", self._second_looks.run)
        self._threads.start("watch-maintenance", self._maintain)
        self._threads.start("action-retry", self._retry)

    def _wake(self, trees: bool = True, gaps: bool = True) -> None:
        """Wake the threads that have something to do about new entries."""
        self._dispatcher.wakeup.set()
        if trees:
            for walker in self._trees:
                walker.wakeup.set()
        if gaps:
            self._reconciler.wakeup.set()

    def _maintain(self) -> None:
        """Check the watch and the roots, and replace the runtime: no other thread does."""
        while not self._stop.is_set():
            if (runtime := self.runtime.current).roots.has_moved:
                _log.info("a symbolic link in the path of a root leads to another directory now")
                self._replace(replace(runtime, roots=runtime.roots.reresolve()))
            self.monitor.begin(self.runtime.current.roots)
            self.monitor.maintain(
                self._journaler.journaled_until, self.runtime.current.settings.canary_interval
            )
            self.on_watch_checked()
            with suppress(Empty):
                replacement = self._replacements.get(timeout=self._maintenance_interval)
                if replacement is not None:
                    self._replace(replacement)

    def _replace(self, runtime: Runtime) -> None:
        self.runtime.replace(runtime)
        self._wake()

    def _retry(self) -> None:
        while not self._stop.wait(RETRY_INTERVAL):
            with self.runtime.borrow() as runtime:
                runtime.casework.retry_due(self._clock())

    def _end(self) -> None:
        """End in the order of the work, and abort what does not end."""
        self.on_stop()
        self.monitor.close()
        self._watch_closed.set()
        self._stop.set()
        self._dispatcher.wakeup.set()
        self._wake()
        self.verdicts.matcher_recovered.set()
        self._replacements.put(None)
        self._readers.end()
        if not self._threads.join(STOP_SECONDS):
            self._closing.set()
            self.runtime.current.pipeline.close()
            self._threads.join(ABORT_SECONDS)
        journaled = self._journal_thread.join(ABORT_SECONDS)
        self.ended = self._threads.join(0.0) and journaled
        self._readers.drop()
