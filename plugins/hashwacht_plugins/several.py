"""Settings that take several texts."""

from __future__ import annotations

from collections.abc import Collection


def several(given: Collection[str]) -> tuple[str, ...]:
    """Give them; one text alone is refused with a TypeError, as each of its letters would count."""
    if isinstance(given, str):
        raise TypeError(f"{given!r} is one text where several are wanted: put it in brackets")
    return tuple(given)
