"""Counters of the scanner since it started."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from hashwacht.core.types import Outcome

BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0)
"""Upper bounds, in seconds, of the latency buckets; one more bucket is above the last."""


@dataclass(frozen=True, slots=True)
class LatencyHistogram:
    """The number of latencies in each bucket, and their sum in seconds."""

    buckets: tuple[int, ...] = (0,) * (len(BOUNDS) + 1)
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class CounterValues:
    """Totals since the process started; they only grow.

    *verdicts* counts contents by outcome, *actions* files by action.  *verdict_latency* is the time
    between the announcement of an upload and its verdict.  *uploads* were sent by web applications.
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
    """Counts.  Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._announced = self._gap_reports = self._bytes = self._action_failures = 0
        self._uploads = self._refused = 0
        self._verdicts: Counter[str] = Counter({outcome.value: 0 for outcome in Outcome})
        self._actions: Counter[str] = Counter()
        self._buckets = [0] * (len(BOUNDS) + 1)
        self._latency = 0.0

    def count_announced(self, files: int, gap_reports: int = 0) -> None:
        """Count files and reports of missed events from the watch."""
        with self._lock:
            self._announced += files
            self._gap_reports += gap_reports

    def count_verdict(self, outcome: Outcome, size: int, delay: float | None = None) -> None:
        """Count a verdict on a content of *size* bytes.

        *delay* is the number of seconds since the announcement, None if the file is no upload.
        """
        with self._lock:
            self._verdicts[outcome.value] += 1
            self._bytes += size
            if delay is not None:
                self._buckets[bisect_left(BOUNDS, delay)] += 1
                self._latency += max(0.0, delay)

    def count_action(self, action: str, *, failed: bool = False) -> None:
        """Count an action, or a failure of one."""
        with self._lock:
            if failed:
                self._action_failures += 1
            else:
                self._actions[action] += 1

    def count_upload(self) -> None:
        """Count an upload from a web application that got its verdict."""
        with self._lock:
            self._uploads += 1

    def count_refused_connection(self) -> None:
        """Count a connection of a web application that exceeded the limit."""
        with self._lock:
            self._refused += 1

    def snapshot(self) -> CounterValues:
        """Return the totals."""
        with self._lock:
            return CounterValues(
                self._announced,
                self._gap_reports,
                dict(self._verdicts),
                self._bytes,
                dict(self._actions),
                self._action_failures,
                LatencyHistogram(tuple(self._buckets), self._latency),
                self._uploads,
                self._refused,
            )
