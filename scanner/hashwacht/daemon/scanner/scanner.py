"""The scanner: every announced file is journaled, read, judged and settled; gaps are closed.

::

    watch ──▶ Announced ──▶ journaler ──▶ journal ──▶ dispatcher ──▶ readers ──▶ clerks
                               │  gaps ──▶ reconciler ──▲ (walks)       │          │
                               └─ trees ────────────────┘          worker pool   matchers,
                                                                                 casework
    contents that wait for an answer ──▶ asker ──▶ matchers, casework

The journal stands in the middle: what is in front of it is quick and does nothing but write it,
what is behind it can be killed at any instant and begins anew from it.  All threads wait for
events; without any, one look a second is all that happens.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from hashwacht.core.watch_events import Lane
from hashwacht.daemon.scanner.counters import Counters
from hashwacht.daemon.scanner.dispatcher import Dispatcher
from hashwacht.daemon.scanner.journaler import AnnouncementSource, Journaler
from hashwacht.daemon.scanner.readers import FileReader, ReaderThreads
from hashwacht.daemon.scanner.recheck_loop import RecheckLoop
from hashwacht.daemon.scanner.reconciler import Reconciler
from hashwacht.daemon.scanner.recorder import BatchRecorder, VerdictProcessor
from hashwacht.daemon.scanner.runtime import Runtime, RuntimeHandle
from hashwacht.daemon.scanner.threads import SupervisedThreads
from hashwacht.daemon.scanner.trees import TreeWalker
from hashwacht.daemon.scanner.watch_monitor import WatchMonitor
from hashwacht.storage.store import Store

_log = logging.getLogger(__name__)

TICK = 0.25
"""Seconds between two rounds."""

TEND = 2.0
"""Seconds between two looks after the watch."""

RETRY = 5.0
"""Seconds between two looks at actions that failed."""

HUNG = 1200.0
"""Seconds without any progress after which the scanner hangs: no content may take so long."""

PATIENCE, GRACE = 0.6, 0.8
"""Seconds that work under way gets to end by itself, and then to notice that it was cut off."""


@dataclass(frozen=True, slots=True)
class ScannerInternals:
    """What there is to see from outside while the scanner runs."""

    counting: Counters
    verdicts: VerdictProcessor
    seeing: WatchMonitor
    queue: AnnouncementSource
    runtime: RuntimeHandle


class Scanner:
    """Runs once.  The caller closes the pipeline afterwards, and the store if it has ``ended``."""

    def __init__(
        self,
        *,
        store: Store,
        parts: Runtime,
        queue: AnnouncementSource,
        seeing: WatchMonitor,
        clock: Callable[[], float] = time.time,
        tend_interval: float = TEND,
    ) -> None:
        """*queue* is what *seeing* fills, and looked after every *tend* seconds; *clock* is Unix's.

        Set ``tended`` to be called after each look after the watch, and ``ending`` before anything
        that others may still use is closed.  ``ended`` says at last if
        all threads have ended: as long as one has not, the state must stay open.
        """
        self._store, self._clock = store, clock
        self._seeing, self._tend_every = seeing, tend_interval
        self._stop, self._cut = threading.Event(), threading.Event()
        self._last = threading.Event()
        self._threads, self._journaling = (
            SupervisedThreads(self._stop),
            SupervisedThreads(self._stop),
        )
        self._coming: SimpleQueue[Runtime | None] = SimpleQueue()
        self._runtime, counting = RuntimeHandle(parts), Counters()
        self._verdicts = VerdictProcessor(store, counting, self._cut, clock)
        self._journaler = Journaler(
            queue, store, self._runtime, counting=counting, stop=self._last, clock=clock
        )
        self._dispatcher = Dispatcher(store, self._runtime, self._stop, clock)
        self._build()
        self.on_watch_checked: Callable[[], None] = lambda: None
        self.on_stop: Callable[[], None] = lambda: None
        self.ended = False
        self.observed = ScannerInternals(counting, self._verdicts, seeing, queue, self._runtime)

    def _build(self) -> None:
        """Make what works behind the journal."""
        store, stop, clock = self._store, self._stop, self._clock
        self._reading = ReaderThreads(
            self._dispatcher,
            FileReader(store, lambda: self._runtime.current.settings, clock),
            BatchRecorder(store, self._verdicts, stop, clock),
            stop,
        )
        found = self._dispatcher.wakeup.set
        self._trees = [
            TreeWalker(
                store,
                self._runtime,
                stop,
                lane=lane,
                has_uploads=self._uploads,
                on_work=found,
                clock=clock,
            )
            for lane in Lane
        ]
        self._reconciler = Reconciler(
            store, self._runtime, stop, has_uploads=self._uploads, on_work=found, clock=clock
        )
        self._asker = RecheckLoop(
            store,
            self._runtime,
            self._verdicts,
            stop=stop,
            has_uploads=self._uploads,
            clock=clock,
        )

    def run(self, stop: threading.Event, each_round: Callable[[], Runtime | None]) -> None:
        """Run until *stop*; then end within two seconds.

        *each_round* is called some times a second; what it returns takes the place of the parts.
        Raises what ended a thread that cannot go on, and what the watch says at its start.
        """
        self._start()
        try:
            while not (stop.wait(TICK) or self._stop.is_set()):
                if (parts := each_round()) is not None:
                    self._coming.put(parts)
        finally:
            self._end()
        if failure := self._threads.failure or self._journaling.failure:
            raise failure

    @property
    def is_stuck(self) -> bool:
        """True if some work should have come to its end long ago."""
        stuck = time.monotonic() - self._journaler.last_round > HUNG
        return stuck or self._dispatcher.is_stuck(HUNG)

    def _start(self) -> None:
        """Start the journaler first, so that nothing the watch says has to wait."""
        self._journaling.start(
            "journaler", lambda: self._journaler.run(self._seeing, self._written), vital=True
        )
        try:
            self._seeing.begin(self._runtime.current.roots)
        except BaseException:
            self._end()
            raise
        self._reading.start(self._threads)
        self._threads.start("dispatcher", self._dispatcher.run)
        for number, trees in enumerate(self._trees):
            self._threads.start(f"trees-{number}", trees.run)
        self._threads.start("reconciler", self._reconciler.run)
        self._threads.start("asker", self._asker.run)
        self._threads.start("tender", self._tend)
        self._threads.start("retrier", self._retry)

    def _uploads(self) -> bool:
        return self._dispatcher.has_uploads

    def _written(self, trees: bool = True, gaps: bool = True) -> None:
        """Wake those who have something to do about what was announced."""
        self._dispatcher.wakeup.set()
        if trees:
            for each in self._trees:
                each.wakeup.set()
        if gaps:
            self._reconciler.wakeup.set()

    def _tend(self) -> None:
        """Look after the watch and the roots: the only thread that does."""
        while not self._stop.is_set():
            if (parts := self._runtime.current).roots.has_moved:
                _log.info("a link in the path of a root leads somewhere else now")
                self._replace(parts.reresolve())
            self._seeing.begin(self._runtime.current.roots)
            self._seeing.maintain(
                self._journaler.journaled_until, self._runtime.current.settings.canary_interval
            )
            self.on_watch_checked()
            with suppress(Empty):
                if (coming := self._coming.get(timeout=self._tend_every)) is not None:
                    self._replace(coming)

    def _replace(self, parts: Runtime) -> None:
        """Work with other parts from now on."""
        self._runtime.replace(parts)
        self._written()

    def _retry(self) -> None:
        """Try again what failed of what follows from verdicts."""
        while not self._stop.wait(RETRY):
            with self._runtime.borrow() as parts:
                self._verdicts.retry(parts)

    def _end(self) -> None:
        """End in the order of the work; what does not end by itself is cut off."""
        self.on_stop()
        self._seeing.close()
        self._last.set()
        self._stop.set()
        self._dispatcher.wakeup.set()
        self._written()
        self._verdicts.matcher_recovered.set()
        self._coming.put(None)
        self._reading.end()
        if not self._threads.join(PATIENCE):
            self._cut.set()
            self._runtime.current.pipeline.close()
            self._threads.join(GRACE)
        journaled = self._journaling.join(GRACE)
        self.ended = self._threads.join(0.0) and journaled
        self._reading.drop()
