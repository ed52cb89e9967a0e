"""How long to wait before asking again.  Pure, but for the dice.

Ours, because the well-kept libraries do not fit: httpx-retries sits below the reading of the
answer (a reset in the middle of a body is not retried), logs addresses at DEBUG and knows
neither a deadline nor a breaker; tenacity and stamina would leave us just these two functions
to write, Retry-After being known to neither.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a request is made at most, and the pauses between, in seconds."""

    attempts: int = 4
    first_pause: float = 0.5
    longest_pause: float = 30.0

    def pause(self, attempt: int, wait: float | None = None) -> float:
        """Give the seconds to wait after failure number *attempt* (from 1).

        Doubling, with full jitter (Brooker, "Exponential Backoff And Jitter", AWS 2015), at
        most *longest_pause*; never less than the service asks for in *wait*.
        """
        ceiling = min(self.longest_pause, self.first_pause * 2.0 ** min(attempt - 1, 60))
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
