"""Holding a run to a maximum rate, in files or bytes per second.

What to scan, and how.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from hashwacht.settings.units import RateLimit, RateUnit
from hashwacht.walk.rules import ExclusionRules


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """*roots* are absolute paths; *rate* limits the reading.

    *full* reads unchanged files again, *restart* begins anew where an interrupted run of the
    same request would be resumed; *jobs* is how many files are read at the same time.
    """

    roots: tuple[bytes, ...]
    rules: ExclusionRules
    one_file_system: bool = True
    full: bool = False
    restart: bool = False
    jobs: int = 1
    rate: RateLimit | None = None

    @property
    def options(self) -> str:
        """What makes two scans of the same roots the same scan, as canonical JSON."""
        rules = [str(rule) for rule in self.rules.rules]
        return json.dumps(
            {"full": self.full, "one_file_system": self.one_file_system, "rules": rules},
            sort_keys=True,
        )


class RateLimiter:
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
