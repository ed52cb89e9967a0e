"""Where the time of a scan went, by part of the work and kind of content.

Seconds as the clock on the wall tells them, waiting included, added up over all threads: parts
run side by side, so their sum is more than the scan took.  Measured here around each part, never
by what was called, so an operator's hasher is in it as well.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TypeVar

T = TypeVar("T")


class ScanStage(StrEnum):
    """What a scan does."""

    WALK = "walk"
    """Listing directories and looking at every file."""
    LOOKUP = "state, asked"
    """Finding directories in the state in which nothing has changed."""
    FINGERPRINT = "read, digest, decode, hash"
    """A file in the hands of a reader and a worker; told by kind as well."""
    MATCH = "match"
    """Asking the matchers, and loading what is stored of a content to ask them."""
    STATE = "state, written"
    """Keeping fingerprints, answers, verdicts, and how far the scan has come."""


class Timings:
    """Adds seconds up.  Thread-safe."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._lock = threading.Lock()
        self._seconds: defaultdict[tuple[ScanStage, str], float] = defaultdict(float)

    def add(self, part: ScanStage, seconds: float, kind: str = "") -> None:
        """Book some seconds on a part; *kind* is the MIME type of the content, if any."""
        with self._lock:
            self._seconds[part, kind] += seconds

    @contextmanager
    def measure(self, part: ScanStage) -> Iterator[None]:
        """Book what happens inside on a part."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.add(part, time.perf_counter() - began)

    def measure_iteration(self, part: ScanStage, items: Iterable[T]) -> Iterator[T]:
        """Pass items on, and book at the end what it took to get them."""
        seconds, began = 0.0, time.perf_counter()
        try:
            for item in items:
                seconds += time.perf_counter() - began
                yield item
                began = time.perf_counter()
        finally:
            self.add(part, seconds)

    def rows(self) -> list[tuple[ScanStage, str, float]]:
        """Give part, kind and seconds, in the order of the work, the longest kind first."""
        with self._lock:
            found = [(part, kind, seconds) for (part, kind), seconds in self._seconds.items()]
        order = list(ScanStage)
        return sorted(found, key=lambda row: (order.index(row[0]), -row[2]))
