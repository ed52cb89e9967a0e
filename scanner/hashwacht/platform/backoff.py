"""Delays that grow while something keeps failing."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays in seconds that double from *first* up to *longest*."""

    first: float
    longest: float

    def delay(self, failures: int) -> float:
        """Return the delay after so many failures in a row, counted from 1."""
        return min(self.longest, self.first * 2.0 ** min(failures - 1, 60))

    def jittered(
        self, failures: int, uniform: Callable[[float, float], float] = random.uniform
    ) -> float:
        """Return a random part of the delay: full jitter, so that clients do not retry in step.

        Brooker, "Exponential Backoff And Jitter", AWS 2015.
        """
        return uniform(0, self.delay(failures))


ABSENT = Backoff(0.05, 1.0)
"""For a process that does not listen: it is probably restarting."""

UNRESPONSIVE = Backoff(5.0, 30.0)
"""For a process that does not answer, or answers nonsense."""


@dataclass(slots=True)
class Cooldown:
    """The time in which a process that failed is not contacted.  Not thread-safe."""

    reason: str = ""
    clock: Callable[[], float] = time.monotonic
    _failures: int = field(default=0, init=False)
    _until: float = field(default=float("-inf"), init=False)

    @property
    def active(self) -> bool:
        """True as long as the process must not be contacted; *reason* is why."""
        return self.clock() < self._until

    def start(self, reason: str, backoff: Backoff) -> None:
        """Begin, after a failure, a cooldown longer than the one before."""
        self.reason = reason
        self._failures += 1
        self._until = self.clock() + backoff.delay(self._failures)

    def reset(self) -> None:
        """Record a success: the next cooldown is short again."""
        self._failures = 0
