"""How the bits of a value are dealt out to bands, and how far each is searched for a radius.

What a search costs is known beforehand for values whose bits are fair coins: every key is looked
up, and under each lie count / 2**bits rows.  Wide keys are looked up with two bits flipped, which
is many keys with few rows, narrow ones with one; a mixture of both is better than either, in time
and in size.  Real values crowd together: that costs time, never a match.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache

from hashwacht.matching.hashlists.index_file import NO_BANDS, NUMBER_BYTES, Bands, Shape

_KEY_COST, _ROW_COST = 1.0, 2.4
"""Of a key that is looked up and of a row found under it; measured (25 and 60 ns)."""

_MOST_BITS = 24
"""Of a key: 64 MB a band; and their sums are exact in any floating-point number."""

_WIDE, _NARROW = 3, 2
"""Allowances of the two kinds of bands: with up to two bits flipped, and up to one."""

_USUAL = 600
"""What any search costs, in keys, besides them."""

_SCANNED = 5
"""Rows whose distance is counted in a scan while one key is looked up."""


def layout(width: int, count: int, radius: int) -> tuple[Bands, Bands]:
    """Choose wide and narrow bands for *count* values of *width* bytes, searched for *radius*.

    The least product of size and squared time: ten per cent more memory has to save at least
    five per cent of time.  For one million PDQ hashes that is 6 keys of 21 bits and 7 of 18: 142
    bytes an entry, 1,525 keys and about 1,170 rows a search (measured: 93 us; with 11 keys of 21
    bits 169 bytes and 109 us, with 16 of 16 bits 101 bytes and 154 us).
    """
    bits = width * 8
    if bits <= radius:
        return NO_BANDS, NO_BANDS
    return min(_layouts(bits, radius + 1), key=lambda each: _price(each, width, count))


def _layouts(bits: int, allowances: int) -> Iterator[tuple[Bands, Bands]]:
    """Give all that reach the radius, with as many narrow bits as are left or some fewer."""
    for wide in range(allowances // _WIDE + 1):
        narrow = max(0, -(-(allowances - _WIDE * wide) // _NARROW))
        for wide_bits in range(1, min(_MOST_BITS, bits // wide) + 1) if wide else [0]:
            if not narrow:
                yield Bands(wide, wide_bits), NO_BANDS
                continue
            most = min(_MOST_BITS, (bits - wide * wide_bits) // narrow)
            for narrow_bits in range(max(1, most - 8), most + 1):
                yield Bands(wide, wide_bits), Bands(narrow, narrow_bits)


def _price(kinds: tuple[Bands, Bands], width: int, count: int) -> float:
    """Squared time of a search times bytes of the file."""
    time, size = float(_USUAL), float(width * count)
    for kind, allowance in zip(kinds, (_WIDE, _NARROW), strict=True):
        time += kind.number * sum(_costs(kind.bits, count)[:allowance])
        size += kind.number * NUMBER_BYTES * (2**kind.bits + count)
    return time**2 * size


@lru_cache(maxsize=256)
def _costs(bits: int, count: int) -> tuple[float, ...]:
    """Give what it costs to flip no bit of a key, exactly one, exactly two, and so on."""
    each = _KEY_COST + _ROW_COST * count / 2**bits
    return tuple(each * math.comb(bits, flips) for flips in range(bits + 1))


def allowances(shape: Shape, radius: int) -> Sequence[int] | None:
    """Deal radius + 1 out to the bands, one by one where it costs least; None if a scan is cheaper.

    0 means that a band need not be looked at.
    """
    costs = [_costs(bits, shape.count) for bits in shape.keys]
    dealt = [0] * len(costs)
    total = 0.0
    for _ in range(radius + 1):
        following = [c[d] if d < len(c) else math.inf for c, d in zip(costs, dealt, strict=True)]
        least = min(following, default=math.inf)
        total += least
        if total > _USUAL + shape.count / _SCANNED:
            return None
        dealt[following.index(least)] += 1
    return dealt


@lru_cache(maxsize=64)
def places(keys: tuple[int, ...]) -> Sequence[Sequence[int]]:
    """Say per band which bits of a value make its key: dealt out like cards, the first bit first.

    Neighbouring bits of perceptual hashes are alike; so they go to different bands.
    """
    dealt: list[list[int]] = [[] for _ in keys]
    place = 0
    for turn in range(max(keys, default=0)):
        for band, bits in enumerate(keys):
            if turn < bits:
                dealt[band].append(place)
                place += 1
    return dealt
