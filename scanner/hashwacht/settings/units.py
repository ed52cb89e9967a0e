"""Sizes, durations and rates as text; every ``parse`` function has an inverse."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

DAY = 86_400.0

_FORMAT_SIZES = (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1))
_SIZES = {name.upper(): unit for name, unit in _FORMAT_SIZES}
_SIZES |= {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_DURATIONS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_FORMAT_DURATIONS = tuple(reversed(_DURATIONS.items()))

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", re.ASCII)
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)", re.ASCII)


def parse_size(text: str) -> int:
    """Parse ``64 MiB``, ``1.5 GB`` or ``512`` as bytes.  Raises ValueError."""
    match = _SIZE.fullmatch(text)
    unit = _SIZES.get(match[2].upper() or "B") if match else None
    if match is None or unit is None:
        raise ValueError(f'expected a size such as "64 MiB", got "{text}"')
    whole, _, part = match[1].partition(".")
    # Whole numbers, because a float would lose the last bytes of a large size.
    scale: int = 10 ** len(part)
    total, rest = divmod(int(whole + part) * unit, scale)
    if rest:
        raise ValueError(f'"{text}" is not a whole number of bytes')
    return total


def size_to_text(count: int) -> str:
    """Return bytes in the largest unit that divides them."""
    for name, unit in _FORMAT_SIZES:
        if count and count % unit == 0:
            return f"{count // unit} {name}"
    return "0 B"


def parse_duration(text: str) -> float:
    """Parse ``500ms``, ``30s``, ``1h30m`` or ``7d`` as seconds.  Raises ValueError."""
    position, milliseconds = 0, 0.0
    while match := _DURATION.match(text, position):
        milliseconds += float(match[1]) * _DURATIONS[match[2]]
        position = match.end()
    if not position or text[position:].strip():
        raise ValueError(f'expected a duration such as "30s" or "7d", got "{text}"')
    return milliseconds / 1000


def duration_to_text(seconds: float) -> str:
    """Return seconds in the largest unit that divides them; precise to the millisecond."""
    milliseconds = round(seconds * 1000)
    for name, unit in _FORMAT_DURATIONS:
        if milliseconds and milliseconds % unit == 0:
            return f"{milliseconds // unit}{name}"
    return "0s"


class RateUnit(StrEnum):
    """What a rate limit counts."""

    FILES = "files"
    BYTES = "bytes"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most *amount* files or bytes per second; *amount* is at least 1."""

    amount: int
    unit: RateUnit

    def __str__(self) -> str:
        files = self.unit is RateUnit.FILES
        return f"{self.amount} files/s" if files else f"{size_to_text(self.amount)}/s"


def parse_rate(text: str) -> RateLimit | None:
    """Parse ``200 files/s`` or ``20 MiB/s``; empty is no limit.  Raises ValueError."""
    if not text.strip():
        return None
    amount, _, second = text.strip().rpartition("/")
    files = re.fullmatch(r"(\d+)\s*files?", amount, re.ASCII)
    try:
        if second.strip() not in {"s", "sec", "second"}:
            raise ValueError  # noqa: TRY301  # handled below, like the error of the size
        count = int(files[1]) if files else parse_size(amount)
    except ValueError:
        raise ValueError(
            f'expected a rate such as "200 files/s" or "20 MiB/s", got "{text}"'
        ) from None
    if count < 1:
        raise ValueError("the rate must be at least 1; leave it empty for no limit")
    return RateLimit(count, RateUnit.FILES if files else RateUnit.BYTES)
