"""Figures for people: counts, sizes, rates and spans of time."""

from __future__ import annotations

from datetime import datetime

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_STEP = 1024
_WIDE = 100


def count(number: float) -> str:
    """Write ``1,234,567``."""
    return f"{number:,.0f}"


def plural(number: int, one: str, several: str = "") -> str:
    """Write ``1 file``, ``2 files``; *several* if it is not just one more letter."""
    return f"{count(number)} {one if number == 1 else several or one + 's'}"


def size(number: float) -> str:
    """Write bytes in the unit that leaves one to four digits: ``1.2 GiB``."""
    units = iter(_UNITS)
    unit = next(units)
    while abs(number) >= _STEP and unit != _UNITS[-1]:
        number, unit = number / _STEP, next(units)
    exact = unit == "B" or abs(number) >= _WIDE
    return f"{number:.0f} {unit}" if exact else f"{number:.1f} {unit}"


def format_duration(seconds: float) -> str:
    """Write a span of time with two units: ``850ms``, ``12.3s``, ``4m 05s``, ``2d 03h``."""
    if seconds == 0:
        return "0s"
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 60:  # noqa: PLR2004  # a minute
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours:02}h"
    return f"{hours}h {minutes:02}m" if hours else f"{minutes}m {rest:02}s"


def format_time(unix: float) -> str:
    """Write a time of day with its zone: ``2026-11-23 18:05:00 +0100``."""
    return datetime.fromtimestamp(unix).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")


def percentage(part: float, whole: float) -> str:
    """Write a percentage that is 0 or 100 only if it is exactly that."""
    percent = 100 * part / whole if whole else 0.0
    if 0 < percent < 0.1:  # noqa: PLR2004  # what would round to none
        return "<0.1 %"
    if 99.9 < percent < 100:  # noqa: PLR2004  # what would round to all
        return ">99.9 %"
    return f"{percent:.0f} %" if percent in {0.0, 100.0} else f"{percent:.1f} %"
