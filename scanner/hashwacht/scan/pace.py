"""Holding a run to a maximum rate, in files or bytes per second."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum


class Unit(StrEnum):
    """What a rate counts."""

    FILES = "files"
    BYTES = "bytes"


class Pace:
    """A token bucket that may be one second ahead.  Used by one thread.

    *wait* is called with seconds to pass and may return early (a stop was asked for).
    """

    def __init__(
        self,
        rate: float,
        unit: Unit,
        wait: Callable[[float], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Allow *rate* files or bytes a second."""
        self._rate, self._unit = rate, unit
        self._wait, self._clock = wait, clock
        self._free_at = clock()

    def take(self, size: int) -> None:
        """Wait until one more file of *size* bytes may be read."""
        now = self._clock()
        cost = (1 if self._unit is Unit.FILES else size) / self._rate
        self._free_at = max(self._free_at, now - 1.0) + cost
        if self._free_at > now:
            self._wait(self._free_at - now)
