"""What the scanner has done since it started, counted where it is done."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from hashwacht.core.types import Outcome

BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0)
"""Upper bounds, in seconds, by which delays are counted; above the last there is one more."""


@dataclass(frozen=True, slots=True)
class LatencyHistogram:
    """How long files waited: how many fell below each bound, and their sum in seconds."""

    buckets: tuple[int, ...] = (0,) * (len(BOUNDS) + 1)
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class CounterValues:
    """Totals since the process started; they only grow.

    *announced* files and directories, *missed* times that something may have been missed,
    *judged* contents by outcome, *size* their bytes, *acted* files by action, *failed* actions.
    *delays* are the times from a file's announcement to its verdict, in the upload lane.
    *handed* uploads that web applications handed over, *refused* connections of theirs.
    """

    announced_files: int = 0
    gap_reports: int = 0
    verdicts: Mapping[str, int] = field(default_factory=dict)
    checked_bytes: int = 0
    actions: Mapping[str, int] = field(default_factory=dict)
    action_failures: int = 0
    verdict_latency: LatencyHistogram = field(default_factory=LatencyHistogram)
    uploads: int = 0
    refused_connections: int = 0


class Counters:
    """Counts.  Thread-safe, and never waits for more than another count."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self._turn = threading.Lock()
        self._announced = self._missed = self._size = self._failed = 0
        self._handed = self._refused = 0
        self._judged: Counter[str] = Counter({outcome.value: 0 for outcome in Outcome})
        self._acted: Counter[str] = Counter()
        self._buckets = [0] * (len(BOUNDS) + 1)
        self._total = 0.0

    def count_announced(self, files: int, missed: int = 0) -> None:
        """Count what was taken from the watch."""
        with self._turn:
            self._announced += files
            self._missed += missed

    def count_verdict(self, outcome: Outcome, size: int, delay: float | None = None) -> None:
        """Count a verdict on a content of *size* bytes, *delay* seconds after the announcement.

        *delay* is None where nobody waits: in a walk, or when something is asked again.
        """
        with self._turn:
            self._judged[outcome.value] += 1
            self._size += size
            if delay is not None:
                self._buckets[bisect_left(BOUNDS, delay)] += 1
                self._total += max(0.0, delay)

    def count_action(self, action: str, *, failed: bool = False) -> None:
        """Count an action that was taken, or that could not be."""
        with self._turn:
            if failed:
                self._failed += 1
            else:
                self._acted[action] += 1

    def count_upload(self) -> None:
        """Count an upload that a web application handed over, and that got its verdict."""
        with self._turn:
            self._handed += 1

    def count_refused_connection(self) -> None:
        """Count a connection of a web application that was one too many."""
        with self._turn:
            self._refused += 1

    def snapshot(self) -> CounterValues:
        """Give the totals as they are now."""
        with self._turn:
            return CounterValues(
                self._announced,
                self._missed,
                dict(self._judged),
                self._size,
                dict(self._acted),
                self._failed,
                LatencyHistogram(tuple(self._buckets), self._total),
                self._handed,
                self._refused,
            )
