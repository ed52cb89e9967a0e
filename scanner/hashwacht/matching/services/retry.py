"""When a failed request is repeated, and the circuit breaker that stops asking a failing service.

Why not a library: httpx-retries works below the parsing of the answer (a reset in the middle of a
body is not retried), logs addresses at DEBUG and knows neither a deadline nor a breaker; tenacity
and stamina do not know Retry-After and would leave exactly these functions to write.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum, auto

from hashwacht.matching.lookup import ServiceFault
from hashwacht.platform.backoff import Backoff


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a request is made at most, and the pauses in between, in seconds."""

    max_attempts: int = 4
    first_delay: float = 0.5
    max_delay: float = 30.0

    def delay(self, attempt: int, wait: float | None = None) -> float:
        """Return the seconds to wait after failure number *attempt* (from 1).

        They double up to *max_delay*, with jitter, and are never less than the service asks for
        in *wait*.
        """
        return max(Backoff(self.first_delay, self.max_delay).jittered(attempt), wait or 0.0)


def retry_after(value: str | None, now: float) -> float | None:
    """Parse a Retry-After header (RFC 9110, 10.2.3): seconds, or a date relative to *now*.

    *now* is Unix time.  Returns seconds, never negative; None if it is absent or malformed.
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
    """After how many failures in a row a breaker opens, and for how long, in seconds.

    *longest* bounds what a service can ask for with Retry-After.
    """

    failures: int = 8
    delay: float = 30.0
    longest: float = 900.0


class Admission(Enum):
    """What a request may do: GO, go as the PROBE, WAIT for the probe, or STOP."""

    GO = auto()
    PROBE = auto()
    WAIT = auto()
    STOP = auto()


class CircuitBreaker:
    """Closed, open or half-open (Nygard, "Release It!", 2nd ed., chapter 5).

    Closed until *failures* requests in a row have failed for good (retries included).  Then open:
    no request is made for *delay* seconds.  Then half-open: one request, the probe, is made while
    the others wait; its success closes the breaker, its failure opens it again.  Not thread-safe:
    it belongs to one event loop.
    """

    def __init__(self, policy: BreakerPolicy, clock: Callable[[], float]) -> None:
        """*clock* returns monotonic seconds."""
        self._policy = policy
        self._clock = clock
        self._failures = 0
        self._open_until: float | None = None
        self._probing = False
        self._last = ServiceFault("")

    def admit(self) -> Admission:
        """Return whether a request may be made; after PROBE its outcome must be recorded."""
        if self._open_until is None:
            return Admission.GO
        if self._probing:
            return Admission.WAIT
        if self._clock() < self._open_until:
            return Admission.STOP
        self._probing = True
        return Admission.PROBE

    def record_success(self) -> None:
        """Record a usable answer, which closes the breaker."""
        self._failures = 0
        self._open_until = None
        self._probing = False

    def record_failure(self, fault: ServiceFault, *, probe: bool = False) -> None:
        """Record a request that failed for good.

        The failure of a probe opens the breaker again, and so does a service that asks for a
        longer pause than ours.  Failures of requests that were already in flight change nothing
        while the breaker is open.
        """
        self._failures += 1
        self._last = fault
        if self._open_until is not None and not probe:
            return
        wait = min(fault.wait or 0.0, self._policy.longest)
        if probe or wait > self._policy.delay or self._failures >= self._policy.failures:
            self._open_until = self._clock() + max(self._policy.delay, wait)
        self._probing = False

    def open_fault(self) -> ServiceFault:
        """Return the fault of a request that is not made, with the reason of the last failure."""
        remaining = max(0.0, (self._open_until or 0.0) - self._clock())
        return ServiceFault(
            f"not asked for another {remaining:.0f} s after {self._failures} failures in a row,"
            f" the last one: {self._last.detail}",
            self._last.reason,
        )
