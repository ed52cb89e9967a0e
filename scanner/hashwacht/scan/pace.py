"""Holding a run to a maximum rate, in files or bytes per second."""

from __future__ import annotations

import time
from collections.abc import Callable

from hashwacht.settings.units import RateLimit, RateUnit


class Pace:
    """A bucket that never holds more than one file: a burst after a pause is as slow as before.

    Used by one thread.  *wait* is called with the seconds to pass and may return early, when a
    stop was asked for.
    """

    def __init__(
        self,
        limit: RateLimit,
        wait: Callable[[float], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Allow so much a second, from now on."""
        self._limit, self._wait, self._clock = limit, wait, clock
        self._free_at = clock()

    def take(self, size: int) -> None:
        """Wait until one more file may be read, and book its *size* in bytes."""
        now = self._clock()
        if self._free_at > now:
            self._wait(self._free_at - now)
        cost = (1 if self._limit.unit is RateUnit.FILES else size) / self._limit.amount
        self._free_at = max(self._free_at, now) + cost
