"""What a running scan or recheck tells those who watch it: frozen values, and the port for them.

The scan never prints.  It calls an :class:`Observer`; the command line has one for terminals,
one for log files and one for machines, the report is drawn from the same values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import exp
from typing import Protocol

from hashwacht.core.types import Outcome, Reason, Verdict
from hashwacht.storage.runs import RunState

SMOOTHING_SECONDS = 10.0
"""Time constant of the shown rates: steady to the eye, and honest within half a minute."""


class Phase(StrEnum):
    """What the run is busy with."""

    WALKING = "scanning"
    ASKING = "asking"


@dataclass(frozen=True, slots=True)
class RunCounts:
    """What a run has counted so far.

    *files* and *bytes* are what came by, *read* and *read_bytes* what had to be read,
    *unchanged* what cost one stat.  *matches*, *suppressed*, *undetermined* count files with
    such a verdict, *new_matches* (in a recheck) those that had another one before; a suppressed
    file counts as its verdict says, too.  *errors* are directories that could not be listed.
    *excluded* counts what a rule left out, *lookups* how often a matcher was asked about a
    content.
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
    lookups: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """A run at one moment.  Seconds, files and bytes per second; None where nobody can know.

    *expected* is the number of files of the previous run over the same roots, *remaining* the
    seconds left by the overall rate of this one.
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
    """One content with its verdict, and the paths that hold it (one, in a scan).

    *before* is the outcome it had before, in a run that tells changes.
    """

    paths: tuple[bytes, ...]
    verdict: Verdict
    kind: str = ""
    size: int = 0
    key: str = ""
    before: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """How a run ended.  *reasons* counts undetermined files, *lists* matched ones by list.

    *reachable* is False if matchers were asked and none of them answered even once.
    """

    run: str
    state: RunState
    elapsed: float
    counts: RunCounts
    reasons: Mapping[Reason, int] = field(default_factory=dict)
    lists: Mapping[str, int] = field(default_factory=dict)
    reachable: bool = True


class Observer(Protocol):
    """Somebody who watches a run.  Called from one thread at a time, never after finished().

    *result* comes for every file that matched, was suppressed or is undetermined, as soon as
    that is known, and for no other; *progress* a few times a second.
    """

    def started(self, run: str, roots: tuple[bytes, ...], *, resumed: bool) -> None:
        """Say that a run begins, or goes on where it was interrupted."""

    def progress(self, snapshot: Progress) -> None:
        """Show where it stands."""

    def result(self, result: ScanResult) -> None:
        """Show one file that somebody wants to know of."""

    def finished(self, summary: Summary) -> None:
        """Show how it ended.  Called once, after an interruption as well."""


class Meter:
    """Makes progress snapshots out of counts: smoothed rates and the time that is left.

    Not thread-safe: the thread that drives the run owns it.
    """

    def __init__(self, clock: Callable[[], float], expected: int | None = None) -> None:
        """Start now.  *clock* gives monotonic seconds."""
        self._clock = clock
        self._expected = expected
        self._began = self._last = clock()
        self._counts = RunCounts()
        self._files_rate = self._bytes_rate = 0.0

    def snapshot(self, counts: RunCounts, phase: Phase, directory: bytes = b"") -> Progress:
        """Take the counts of this moment into the rates, and show all of it."""
        now = self._clock()
        self._smooth(counts, now - self._last)
        self._last, self._counts = now, counts
        elapsed = now - self._began
        return Progress(
            counts=counts,
            phase=phase,
            elapsed=elapsed,
            files_rate=self._files_rate,
            bytes_rate=self._bytes_rate,
            expected=self._expected,
            remaining=self._remaining(counts, elapsed),
            directory=directory,
        )

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
        """Estimate by the whole run so far: the smoothed rate of a moment swings too much."""
        if not self._expected or not counts.files or counts.files > self._expected:
            return None
        return (self._expected - counts.files) * elapsed / counts.files
