"""What a run reports: progress, results and a summary, and the loop that informs an observer.

A scan never prints.  It calls an :class:`Observer`; the command line has one for terminals, one
for log files and one for JSON.  The report is built from the same values.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import exp
from typing import Protocol

from hashwacht.core.types import Outcome, Reason, Verdict
from hashwacht.storage.runs import RunState

SMOOTHING_SECONDS = 10.0
"""Time constant of the displayed rates."""

TICK = 0.1
"""Seconds between two calls of ``Observer.progress``."""

WAKE = 0.02
"""Seconds between two checks whether the last thread has ended."""

SAMPLE_SECONDS = 1.0
"""Seconds between two points of the throughput curve."""

STOP_SECONDS = 0.4
"""Seconds that work in progress has to end after a stop, before it is aborted."""

ABANDON_SECONDS = 0.4
"""Seconds after that until a thread that hangs is abandoned."""


class Phase(StrEnum):
    """The kind of work that a run is doing."""

    WALKING = "scanning"
    ASKING = "asking"


@dataclass(frozen=True, slots=True)
class RunCounts:
    """The figures of a run so far.

    *files* and *bytes* count everything seen, *read* and *read_bytes* what was read, *unchanged*
    what needed only a stat(2).  *matches*, *suppressed* and *undetermined* count files with such a
    verdict; a suppressed file also counts by its verdict.  *new_matches* counts matching files
    that are new, were changed, or did not match before.  *accepted* counts undetermined files that
    a person has accepted.  *errors* are directories that could not be listed, *excluded* what a
    rule excluded, *left_out* the mounted file systems that are not part of the scan, *lookups* the
    questions to matchers.
    """

    files: int = 0
    bytes: int = 0
    read: int = 0
    read_bytes: int = 0
    unchanged: int = 0
    matches: int = 0
    new_matches: int = 0
    suppressed: int = 0
    undetermined: int = 0
    errors: int = 0
    excluded: int = 0
    accepted: int = 0
    left_out: int = 0
    lookups: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """A run at one moment: seconds, files and bytes per second; None if not known.

    *expected* is the number of files of the previous run over the same roots, *remaining* the
    seconds left at the average rate of this one.
    """

    counts: RunCounts
    phase: Phase = Phase.WALKING
    elapsed: float = 0.0
    files_rate: float = 0.0
    bytes_rate: float = 0.0
    expected: int | None = None
    remaining: float | None = None
    directory: bytes = b""


@dataclass(frozen=True, slots=True)
class ScanResult:
    """A content with its verdict and its paths (one path in a scan).

    *before* is the previous outcome, in a run that reports changes.
    """

    paths: tuple[bytes, ...]
    verdict: Verdict
    kind: str = ""
    size: int = 0
    key: str = ""
    before: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """The end of a run.  *reasons* counts undetermined files, *lists* matched ones by list.

    *reachable* is False if matchers were asked and none of them answered even once.  *left_out*
    maps the first left out directories to the reason.  *faults* counts files by why a matcher gave
    no answer; a damaged list is named there.
    """

    run: str
    state: RunState
    elapsed: float
    counts: RunCounts
    reasons: Mapping[Reason, int] = field(default_factory=dict)
    lists: Mapping[str, int] = field(default_factory=dict)
    reachable: bool = True
    left_out: Mapping[bytes, str] = field(default_factory=dict)
    faults: Mapping[str, int] = field(default_factory=dict)


class Observer(Protocol):
    """Receives the events of a run, from one thread at a time and never after ``finished``."""

    def started(self, run: str, roots: tuple[bytes, ...], *, resumed: bool) -> None:
        """Receive the start of a run; *resumed* if it continues an interrupted one."""

    def progress(self, snapshot: Progress) -> None:
        """Receive the figures, several times a second."""

    def result(self, result: ScanResult) -> None:
        """Receive a file that matched, was suppressed or is undetermined, as soon as known."""

    def finished(self, summary: Summary) -> None:
        """Receive the summary, once, also after an interruption."""


class HasCounts(Protocol):
    """A part of a run whose figures are displayed."""

    @property
    def counts(self) -> RunCounts:
        """Everything counted so far."""

    @property
    def directory(self) -> bytes:
        """The directory that was worked on last."""


class Meter:
    """Computes smoothed rates and the remaining time from counts.  Not thread-safe."""

    def __init__(self, clock: Callable[[], float], expected: int | None = None) -> None:
        """Start the measurement.  *clock* returns monotonic seconds."""
        self._clock, self._expected = clock, expected
        self._began = self._last = clock()
        self._counts = RunCounts()
        self._files_rate = self._bytes_rate = 0.0

    def snapshot(self, counts: RunCounts, phase: Phase, directory: bytes = b"") -> Progress:
        """Return the progress now, after including *counts* in the rates."""
        now = self._clock()
        self._smooth(counts, now - self._last)
        self._last, self._counts = now, counts
        elapsed, rates = now - self._began, (self._files_rate, self._bytes_rate)
        remaining = self._remaining(counts, elapsed)
        return Progress(counts, phase, elapsed, *rates, self._expected, remaining, directory)

    def _smooth(self, counts: RunCounts, seconds: float) -> None:
        if seconds <= 0:
            return
        # The first seconds count in full: no slow climb from zero.
        weight = max(
            1 - exp(-seconds / SMOOTHING_SECONDS), seconds / (self._last + seconds - self._began)
        )
        files = (counts.files - self._counts.files) / seconds
        size = (counts.bytes - self._counts.bytes) / seconds
        self._files_rate += weight * (files - self._files_rate)
        self._bytes_rate += weight * (size - self._bytes_rate)

    def _remaining(self, counts: RunCounts, elapsed: float) -> float | None:
        """Estimate by the average of the whole run: the smoothed rate varies too much."""
        if not self._expected or not counts.files or counts.files > self._expected:
            return None
        return (self._expected - counts.files) * elapsed / counts.files


class RunMonitor:
    """Informs an observer, in the caller's thread, until the last thread of a run has ended."""

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
        """Start the clock.  *expected* is the number of files, if known."""
        self._observer, self._counted, self._results = observer, counted, results
        self._phase, self._clock, self._began = phase, clock, clock()
        self._meter = Meter(clock, expected)
        self.samples: list[tuple[float, float, float]] = []

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._began

    def wait(
        self, last: threading.Thread, stop: threading.Event, abort: Callable[[], None]
    ) -> None:
        """Return when *last* has ended.

        After *stop*, work in progress has a moment to end; then *abort* is called, and a thread
        that still hangs is abandoned: the storage is consistent at any time.
        """
        stopped_at: float | None = None
        aborted = False
        while last.is_alive() or not self._results.empty():
            self._report(last)
            if not stop.is_set():
                continue
            stopped_at = stopped_at or self._clock()
            waited = self._clock() - stopped_at
            if waited > STOP_SECONDS and not aborted:
                aborted = True
                abort()
            if waited > STOP_SECONDS + ABANDON_SECONDS and self._results.empty():
                return
        self._show()

    def _report(self, last: threading.Thread) -> None:
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
        progress = self._meter.snapshot(self._counted.counts, self._phase, self._counted.directory)
        self._observer.progress(progress)
        last = self.samples[-1][0] if self.samples else 0.0
        if progress.elapsed - last >= SAMPLE_SECONDS:
            self.samples.append((progress.elapsed, progress.files_rate, progress.bytes_rate))
