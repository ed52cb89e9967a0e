"""Time as a test wants it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Clock:
    """A clock that is set by hand."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        """Give the time, in seconds."""
        return self.now
