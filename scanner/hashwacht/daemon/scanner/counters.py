"""Counters of the scanner since it started."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

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
    between the announcement of an upload and its verdict.  *uploads* were sent by web applications;
    *refused_uploads* are those whose descriptor must not be read or was not fit for it.
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
    refused_uploads: int = 0


class Counters:
    """Counts.  Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values = CounterValues(verdicts={outcome.value: 0 for outcome in Outcome})

    def _add(self, **numbers: int) -> None:
        with self._lock:
            sums = {name: getattr(self._values, name) + add for name, add in numbers.items()}
            self._values = replace(self._values, **sums)

    def count_announced(self, files: int, gap_reports: int = 0) -> None:
        """Count files and reports of missed events from the watch."""
        self._add(announced_files=files, gap_reports=gap_reports)

    def count_verdict(self, outcome: Outcome, size: int, delay: float | None = None) -> None:
        """Count a verdict on a content of *size* bytes.

        *delay* is the number of seconds since the announcement, None if the file is no upload.
        """
        with self._lock:
            values, latency = self._values, self._values.verdict_latency
            if delay is not None:
                buckets = [*latency.buckets]
                buckets[bisect_left(BOUNDS, delay)] += 1
                latency = LatencyHistogram(tuple(buckets), latency.total + max(0.0, delay))
            self._values = replace(
                values,
                verdicts={**values.verdicts, outcome.value: values.verdicts[outcome.value] + 1},
                checked_bytes=values.checked_bytes + size,
                verdict_latency=latency,
            )

    def count_action(self, action: str, *, failed: bool = False) -> None:
        """Count an action, or a failure of one."""
        if failed:
            self._add(action_failures=1)
            return
        with self._lock:
            actions = self._values.actions
            number = actions.get(action, 0) + 1
            self._values = replace(self._values, actions={**actions, action: number})

    def count_upload(self) -> None:
        """Count an upload from a web application that got its verdict."""
        self._add(uploads=1)

    def count_refused_upload(self) -> None:
        """Count an upload whose descriptor was refused."""
        self._add(refused_uploads=1)

    def count_refused_connection(self) -> None:
        """Count a connection of a web application that exceeded the limit."""
        self._add(refused_connections=1)

    def snapshot(self) -> CounterValues:
        """Return the totals."""
        return self._values
