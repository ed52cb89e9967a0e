"""Counting a run: figures that add up and survive an interruption as JSON, and where time went.

A directory has a tally of its own, which is added to the run's in the transaction that marks the
directory as done.  A run that was killed and resumed therefore counts every file exactly once.
"""

from __future__ import annotations

import heapq
import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Self, TypeVar

from hashwacht.core.types import Match, Outcome, Reason, Verdict
from hashwacht.pipeline import Judgement
from hashwacht.scan.progress import RunCounts, Summary
from hashwacht.storage.runs import RunState

T = TypeVar("T")

MAX_LEFT_OUT = 100
"""Directories that are named if they are left out; all are counted."""

SLOWEST = 20
"""Directories that a run remembers as the slowest."""

MAX_FAULTS = 8
"""Different explanations of matchers that a run remembers."""

SAMPLES = 240
"""Points of the throughput curve; when there are more, every second one is dropped."""


@dataclass(slots=True)
class Tally:
    """The figures of a run, or of a part of it.  Mutable; not thread-safe.

    The field names are those of the stored JSON.
    """

    files: int = 0
    size: int = 0
    read: int = 0
    read_bytes: int = 0
    unchanged: int = 0
    errors: int = 0
    excluded: int = 0
    accepted: int = 0
    left_out: int = 0
    lookups: int = 0
    new_matches: int = 0
    suppressed: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    lists: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    matched: Counter[str] = field(default_factory=Counter)
    unanswered: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    elapsed: float = 0.0
    resumed: int = 0
    slowest: list[tuple[float, str, int, int]] = field(default_factory=list)
    samples: list[tuple[float, float, float]] = field(default_factory=list)
    left_out_paths: list[tuple[str, str]] = field(default_factory=list)

    def count_verdict(self, verdict: Verdict) -> None:
        """Count one file with its verdict."""
        if verdict.accepted:
            self.accepted += 1
            return
        self.outcomes[verdict.outcome] += 1
        self.suppressed += bool(verdict.suppressed)
        if verdict.reason is not None:
            self.reasons[verdict.reason] += 1
            if verdict.reason in _MATCHER_FAULTS and verdict.detail:
                self.faults[verdict.detail] += 1
                self._bound_faults()
        self.lists.update({_source(match) for match in verdict.matches})

    def _bound_faults(self) -> None:
        if len(self.faults) > 2 * MAX_FAULTS:
            self.faults = Counter(dict(self.faults.most_common(MAX_FAULTS)))

    def count_read(self, size: int, seconds: float) -> None:
        """Count one file that was read."""
        self.read += 1
        self.read_bytes += size
        self.seconds += seconds

    def count_answers(self, judgement: Judgement) -> None:
        """Count the new answers about one content."""
        for answer in judgement.new_answers:
            self.asked[answer.matcher] += 1
            self.matched[answer.matcher] += answer.outcome is Outcome.MATCH
            self.unanswered[answer.matcher] += answer.outcome is Outcome.UNDETERMINED
            self.lookups += 1

    def count_left_out(self, path: bytes, detail: str) -> None:
        """Count a directory that is not part of the scan, and why."""
        self.left_out += 1
        self.left_out_paths.append((path.decode("utf-8", "surrogateescape"), detail))

    def add(self, other: Self) -> None:
        """Add another part of the same run."""
        for name in _NUMBERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in _COUNTERS:
            getattr(self, name).update(getattr(other, name))
        self._bound_faults()
        self.slowest = heapq.nlargest(SLOWEST, [*self.slowest, *other.slowest])
        self.left_out_paths = [*self.left_out_paths, *other.left_out_paths][:MAX_LEFT_OUT]

    def end_directory(self, path: bytes) -> None:
        """Remember the time that this part, one directory, took."""
        if self.seconds:
            text = path.decode("utf-8", "surrogateescape")
            self.slowest = [(self.seconds, text, self.read, self.read_bytes)]

    def add_samples(self, samples: Iterable[tuple[float, float, float]]) -> None:
        """Continue the throughput curve, and thin it out when it grows long."""
        self.samples += samples
        while len(self.samples) > SAMPLES:
            self.samples = self.samples[::2]

    def counts(self) -> RunCounts:
        """Return the figures that are displayed."""
        return RunCounts(
            bytes=self.size,
            matches=self.outcomes[Outcome.MATCH],
            undetermined=self.outcomes[Outcome.UNDETERMINED],
            **{name: getattr(self, name) for name in _DISPLAYED},
        )

    def summary(self, run: str, state: RunState) -> Summary:
        """Return the summary of a run that has ended."""
        asked, unanswered = self.asked.total(), self.unanswered.total()
        reachable, reasons = not asked or unanswered < asked, self.reason_counts()
        left_out = {
            path.encode("utf-8", "surrogateescape"): detail for path, detail in self.left_out_paths
        }
        return Summary(
            run,
            state,
            self.elapsed,
            self.counts(),
            reasons,
            dict(self.lists),
            reachable,
            left_out,
            dict(self.faults.most_common(MAX_FAULTS)),
        )

    def reason_counts(self) -> dict[Reason, int]:
        """Return the number of undetermined files by reason, the most frequent first."""
        return {Reason(name): count for name, count in self.reasons.most_common()}

    def dumps(self) -> str:
        """Return the tally as JSON."""
        figures = {attribute.name: getattr(self, attribute.name) for attribute in fields(self)}
        return json.dumps(figures, separators=(",", ":"))

    @classmethod
    def loads(cls, text: str) -> Self:
        """Return the tally that ``dumps`` wrote; an empty object is an empty tally."""
        stored: dict[str, Any] = json.loads(text)
        for name, value in stored.items():
            if name in _COUNTERS:
                stored[name] = Counter(value)
            elif isinstance(value, list):
                stored[name] = [tuple(row) for row in value]
        return cls(**stored)


def _source(match: Match) -> str:
    return f"{match.matcher}/{match.list}" if match.list else match.matcher


_MATCHER_FAULTS = frozenset({Reason.UNANSWERED, Reason.REFUSED})
_COUNTERS = ("outcomes", "reasons", "lists", "asked", "matched", "unanswered", "faults")
_DISPLAYED = (
    *("files", "read", "read_bytes", "unchanged", "errors"),
    *("excluded", "accepted", "left_out", "lookups", "new_matches", "suppressed"),
)
_NUMBERS = (*_DISPLAYED, "size", "seconds")


class ScanStage(StrEnum):
    """A part of the work of a scan, as ``scan --profile`` names it."""

    WALK = "walk"
    """Listing directories and calling stat(2) for every file."""
    LOOKUP = "state, asked"
    """Finding unchanged directories in the storage."""
    FINGERPRINT = "read, digest, decode, hash"
    """Waiting for a worker, and its work; also counted by kind."""
    MATCH = "match"
    """Loading stored answers and asking the matchers."""
    STATE = "state, written"
    """Recording fingerprints, answers, verdicts and progress."""


class Timings:
    """Adds up wall-clock seconds by stage and kind of content.  Thread-safe.

    Waiting counts, and stages overlap: their sum exceeds the duration of the scan.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: defaultdict[tuple[ScanStage, str], float] = defaultdict(float)

    def add(self, stage: ScanStage, seconds: float, kind: str = "") -> None:
        """Add seconds to a stage; *kind* is the MIME type of the content, if any."""
        with self._lock:
            self._seconds[stage, kind] += seconds

    @contextmanager
    def measure(self, stage: ScanStage) -> Iterator[None]:
        """Add the duration of the block to a stage."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, time.perf_counter() - began)

    def measure_iteration(self, stage: ScanStage, items: Iterable[T]) -> Iterator[T]:
        """Yield the items, and add at the end the time that it took to get them."""
        seconds, began = 0.0, time.perf_counter()
        try:
            for item in items:
                seconds += time.perf_counter() - began
                yield item
                began = time.perf_counter()
        finally:
            self.add(stage, seconds)

    def rows(self) -> list[tuple[ScanStage, str, float]]:
        """Return stage, kind and seconds, in the order of the work, the longest kind first."""
        with self._lock:
            rows = [(stage, kind, seconds) for (stage, kind), seconds in self._seconds.items()]
        order = list(ScanStage)
        return sorted(rows, key=lambda row: (order.index(row[0]), -row[2]))
