"""A limit for each kind of log entry, so that a flood of one does not drown the others."""

from __future__ import annotations

import threading
from dataclasses import dataclass

BURST = 20
"""Entries of a kind that may follow one another at once."""

EVERY = 30.0
"""Seconds after which one more is allowed."""

KINDS = 256
"""Kinds that are told apart; whatever comes beyond shares one limit."""

_OTHERS = "others"


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float
    left_out: int = 0


class LogLimit:
    """A token bucket for each kind.  Thread-safe, bounded in memory."""

    def __init__(self, burst: int = BURST, every: float = EVERY) -> None:
        """Allow *burst* entries of a kind at once, and one more every *every* seconds."""
        self._burst, self._every = burst, every
        self._turn = threading.Lock()
        self._buckets: dict[str, _Bucket] = {}

    def admit(self, kind: str, now: float) -> int | None:
        """Say how many were left out before this one, which may be written; None: it may not.

        *now* is in seconds on a clock that never goes back.
        """
        with self._turn:
            bucket = self._bucket(kind, now)
            bucket.left = min(self._burst, bucket.left + (now - bucket.at) / self._every)
            bucket.at = now
            if bucket.left < 1:
                bucket.left_out += 1
                return None
            bucket.left -= 1
            left_out, bucket.left_out = bucket.left_out, 0
            return left_out

    def _bucket(self, kind: str, now: float) -> _Bucket:
        if kind not in self._buckets and len(self._buckets) >= KINDS:
            self._forget_idle(now)
        if kind not in self._buckets and len(self._buckets) >= KINDS:
            kind = _OTHERS
        return self._buckets.setdefault(kind, _Bucket(self._burst, now))

    def _forget_idle(self, now: float) -> None:
        """Drop the buckets that are full again: a new one would be the same."""
        full = self._burst * self._every
        self._buckets = {
            kind: bucket
            for kind, bucket in self._buckets.items()
            if bucket.left_out or now - bucket.at < full
        }
