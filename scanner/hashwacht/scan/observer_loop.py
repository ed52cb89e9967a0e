"""The caller's thread during a run: tell results and progress, and notice the wish to stop."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Protocol

from hashwacht.scan.progress import Meter, Observer, Phase, RunCounts, ScanResult

TICK = 0.1
"""Seconds between two looks at results, figures and the wish to stop."""

WAKE = 0.02
"""Seconds after which the end is noticed; a look takes some microseconds."""

SAMPLE_SECONDS = 1.0
"""Seconds between two points of the throughput curve, at first; the tally thins it out."""

STOP_SECONDS = 0.4
"""Seconds that work under way gets to end by itself once a stop is asked for."""

ABANDON_SECONDS = 0.4
"""Seconds after that until the caller no longer waits for a thread that is stuck."""


class HasCounts(Protocol):
    """Something whose figures can be watched."""

    @property
    def counts(self) -> RunCounts:
        """What was counted so far."""

    @property
    def directory(self) -> bytes:
        """Where the work is just now."""


class RunMonitor:
    """Tells *observer* what happens until the last thread has ended."""

    def __init__(
        self,
        observer: Observer,
        counted: HasCounts,
        results: queue.Queue[ScanResult],
        expected: int | None,
        *,
        phase: Phase = Phase.WALKING,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin the clock.  *phase* says what the run is busy with."""
        self._phase = phase
        self.samples: list[tuple[float, float, float]] = []
        self._observer, self._counted, self._results = observer, counted, results
        self._clock = clock
        self._began = clock()
        self._meter = Meter(clock, expected)

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return self._clock() - self._began

    def wait(
        self, last: threading.Thread, stop: threading.Event, hurry: Callable[[], None]
    ) -> None:
        """Watch until *last* has ended.

        When *stop* is set, work under way gets a moment to end by itself, then *hurry* is
        called, then the watch ends even if a thread is stuck: the state is whole at any time.
        """
        asked_at: float | None = None
        hurried = False
        while last.is_alive() or not self._results.empty():
            self._tell(last)
            if not stop.is_set():
                continue
            asked_at = asked_at or self._clock()
            waited = self._clock() - asked_at
            if waited > STOP_SECONDS and not hurried:
                hurried = True
                hurry()
            if waited > STOP_SECONDS + ABANDON_SECONDS and self._results.empty():
                return
        self._show()

    def _tell(self, last: threading.Thread) -> None:
        """Tell results as they come for one tick, or until the end; then show the figures."""
        until = self._clock() + TICK
        while (left := until - self._clock()) > 0:
            try:
                self._observer.result(self._results.get(timeout=min(left, WAKE)))
                self._results.task_done()
            except queue.Empty:
                if not last.is_alive():
                    break
        self._show()

    def _show(self) -> None:
        """Show the figures, and put a point on the curve from time to time."""
        seen = self._meter.snapshot(self._counted.counts, self._phase, self._counted.directory)
        self._observer.progress(seen)
        last = self.samples[-1][0] if self.samples else 0.0
        if seen.elapsed - last >= SAMPLE_SECONDS:
            self.samples.append((seen.elapsed, seen.files_rate, seen.bytes_rate))
