"""Matches as fields of a message: ``[matcher, signal, distance, category, list, id, known_good]``.

A signal is ``[type, value, quality, variant]``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from hashwacht.core.types import Match, Signal
from hashwacht.ipc.codec import NAME, number, shown, text, words
from hashwacht.ipc.frames import Nonsense

MOST = 64
"""Matches that are told of one content; one more would not change the verdict."""

_TYPE = re.compile(r"[a-z0-9_]{1,64}")
_VALUE = re.compile(r"[!-~]{1,1024}")
_VARIANT = re.compile(r"[a-z0-9:/_-]{0,64}")
_WORDS = 200
_FARTHEST = 1 << 16
_BEST = 101


def matches_to(matches: Sequence[Match]) -> list[object]:
    """Write them."""
    return [_to(each) for each in matches[:MOST]]


def matches_from(fields: list[object]) -> tuple[Match, ...]:
    """Read them.  Raises Nonsense."""
    if len(fields) > MOST:
        raise Nonsense("too many matches")
    return tuple(_from(each) for each in fields)


def _to(match: Match) -> list[object]:
    of = match.signal
    signal = [of.type, of.value, of.quality, of.variant]
    names = [shown(each, _WORDS) for each in (match.category, match.list, match.id)]
    return [match.matcher, signal, match.distance, *names, match.known_good]


def _from(fields: object) -> Match:
    match fields:
        case [matcher, list(signal), distance, category, list_, id_, bool(known_good)]:
            return Match(
                text(matcher, NAME),
                _signal(signal),
                _optional(distance, _FARTHEST),
                words(category, _WORDS),
                words(list_, _WORDS),
                words(id_, _WORDS),
                known_good,
            )
    raise Nonsense("no match")


def _signal(fields: list[object]) -> Signal:
    match fields:
        case [type_, value, quality, variant]:
            named = (text(type_, _TYPE), text(value, _VALUE))
            return Signal(*named, _optional(quality, _BEST), text(variant, _VARIANT))
    raise Nonsense("no signal")


def _optional(value: object, below: int) -> int | None:
    return None if value is None else number(value, below)
