"""Pauses in which a process that is out of reach is not asked: they grow while it is.

A process that is not there is tried again after a pause that grows to a second, one that is there
and says nothing or nonsense after one that grows to half a minute.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

ABSENT_DELAYS, UNRESPONSIVE_DELAYS = (0.05, 1.0), (5.0, 30.0)
"""Seconds of the first pause, doubling, and of the longest."""


@dataclass(slots=True)
class Backoff:
    """Those towards one process.  The caller sees to it that one thread at a time uses it."""

    reason: str = ""
    clock: Callable[[], float] = time.monotonic
    _failures: int = field(default=0, init=False)
    _not_before: float = field(default=float("-inf"), init=False)

    @property
    def active(self) -> bool:
        """True while it is not asked, and *why* says the reason."""
        return self.clock() < self._not_before

    def start(self, why: str, pauses: tuple[float, float]) -> None:
        """Ask nothing for a while."""
        first, longest = pauses
        self.reason = why
        pause = min(longest, first * 2.0 ** min(self._failures, 30))
        self._failures += 1
        self._not_before = self.clock() + pause

    def reset(self) -> None:
        """Take note of an answer: the next pause is a short one again."""
        self._failures = 0
