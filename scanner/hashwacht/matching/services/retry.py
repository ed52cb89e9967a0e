"""A breaker: stops asking a service that does not answer, and tries it again after a while.

Closed, until *failures* requests in a row have failed for good (retries included).  Then open:
nothing is asked for *pause* seconds.  Then half-open: one request, the probe, goes out while
the others wait for its fate; its answer closes the breaker, its failure opens it again
(Nygard, "Release It!", 2nd ed., chapter 5).  Not thread-safe: it lives in one event loop.

How long to wait before asking again.  Pure, but for the dice.

Ours, because the well-kept libraries do not fit: httpx-retries sits below the reading of the
answer (a reset in the middle of a body is not retried), logs addresses at DEBUG and knows
neither a deadline nor a breaker; tenacity and stamina would leave us just these two functions
to write, Retry-After being known to neither.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum, auto

from hashwacht.matching.questions import ServiceFault


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a request is made at most, and the pauses between, in seconds."""

    max_attempts: int = 4
    first_delay: float = 0.5
    max_delay: float = 30.0

    def delay(self, attempt: int, wait: float | None = None) -> float:
        """Give the seconds to wait after failure number *attempt* (from 1).

        Doubling, with full jitter (Brooker, "Exponential Backoff And Jitter", AWS 2015), at
        most *longest_pause*; never less than the service asks for in *wait*.
        """
        ceiling = min(self.max_delay, self.first_delay * 2.0 ** min(attempt - 1, 60))
        return max(random.uniform(0, ceiling), wait or 0.0)  # noqa: S311  # no secret in a pause


def retry_after(value: str | None, now: float) -> float | None:
    """Read a Retry-After header (RFC 9110, 10.2.3): seconds, or a date seen from *now*.

    *now* is Unix time.  Gives seconds, never negative; None if it is absent or senseless.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:10])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.fromtimestamp(now, UTC)).total_seconds())


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a breaker opens and for how long, in seconds.

    *longest* bounds what a service may ask for with Retry-After.
    """

    failures: int = 8
    delay: float = 30.0
    longest: float = 900.0


class Admission(Enum):
    """What a request may do now."""

    GO = auto()
    PROBE = auto()
    WAIT = auto()
    STOP = auto()


class CircuitBreaker:
    """The state of one service: failures in a row, and whether and until when it is left alone."""

    def __init__(self, rule: BreakerPolicy, clock: Callable[[], float]) -> None:
        """*clock* gives seconds that never run backwards."""
        self._rule = rule
        self._clock = clock
        self._failed = 0
        self._open_until: float | None = None
        self._probing = False
        self._last = ServiceFault("")

    def admit(self) -> Admission:
        """Ask before every request; whoever is told PROBE must report an outcome."""
        if self._open_until is None:
            return Admission.GO
        if self._probing:
            return Admission.WAIT
        if self._clock() < self._open_until:
            return Admission.STOP
        self._probing = True
        return Admission.PROBE

    def record_success(self) -> None:
        """Take note of a usable answer."""
        self._failed = 0
        self._open_until = None
        self._probing = False

    def record_failure(self, fault: ServiceFault, *, probe: bool = False) -> None:
        """Take note of a request that will not be made again.

        A probe's failure opens again at once, and so does a service that asks to be left
        alone for longer than our own pause.  Failures of requests that were already on their
        way change nothing while the breaker is open.
        """
        self._failed += 1
        self._last = fault
        if self._open_until is not None and not probe:
            return
        asked = min(fault.wait or 0.0, self._rule.longest)
        if probe or asked > self._rule.delay or self._failed >= self._rule.failures:
            pause = max(self._rule.delay, asked)
            self._open_until = self._clock() + pause
        self._probing = False

    def open_fault(self) -> ServiceFault:
        """Say why nothing is asked now; the reason is that of the last failure."""
        left = max(0.0, (self._open_until or 0.0) - self._clock())
        return ServiceFault(
            f"not asked for another {left:.0f} s after {self._failed} failures in a row,"
            f" the last one: {self._last.detail}",
            self._last.reason,
        )
