"""Exact search for all values within a Hamming distance.

Pigeonhole (Norouzi, Punjani, Fleet, "Fast exact search in Hamming space with multi-index
hashing", 2014; with uneven thresholds: Qin et al., "GPH", 2018).  The bits are dealt out to B
bands like cards.  Every band gets an allowance a, so that the allowances add up to radius + 1.  Two
values that differ in at least a bits in every band differ in at least radius + 1 bits.  Hence
values within the radius differ in less than a bits in some band, and it is enough to look up, per
band, all keys with up to a - 1 bits flipped.  This also holds for a band of which only some bits
make up the key.  The distance of every candidate is then counted.

The cost of a search is known in advance for values of random bits: every key is looked up, and each
has count / 2**bits rows.  Wide keys are looked up with two bits flipped, which makes many keys with
few rows, narrow ones with one; a mixture of both is better than either, in time and in size.  Real
values are clustered, which costs time but never a match.  Where a lookup would visit more rows than
a scan is worth (a wide radius, correlated values), all rows are scanned.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hashwacht.matching.hashlists.index_file import (
    MAX_COUNT,
    NO_BANDS,
    NUMBER_BYTES,
    Bands,
    IndexFile,
    IndexLayout,
    Numbers,
    Records,
    write_bands,
)

_KEY_COST, _ROW_COST = 1.0, 2.4
"""Cost of looking up a key and of visiting a row; measured (25 and 60 ns)."""

_MAX_KEY_BITS = 24
"""64 MB per band; and the key is an exact sum of floating-point numbers."""

_WIDE, _NARROW = 3, 2
"""Allowances of the two kinds of bands: up to two bits flipped, and up to one."""

_BASE_COST = 600
"""Fixed cost of a search, in keys."""

_SCANNED_PER_KEY = 5
"""Rows scanned in the time of one key."""


def choose_bands(width: int, count: int, radius: int) -> tuple[Bands, Bands]:
    """Return wide and narrow bands for *count* values of *width* bytes and searches of *radius*.

    Minimizes size times squared time: ten per cent more memory must save at least five per cent of
    time.  For one million PDQ hashes that is 6 keys of 21 bits and 7 of 18: 142 bytes per entry,
    1,525 keys and about 1,170 rows per search (measured: 93 us; with 11 keys of 21 bits 169 bytes
    and 109 us, with 16 of 16 bits 101 bytes and 154 us).
    """
    bits = width * 8
    if bits <= radius:
        return NO_BANDS, NO_BANDS
    return min(_combinations(bits, radius + 1), key=lambda bands: _cost(bands, width, count))


def _combinations(bits: int, allowances: int) -> Iterator[tuple[Bands, Bands]]:
    """Yield all pairs that reach the radius, with all remaining narrow bits or some fewer."""
    for wide in range(allowances // _WIDE + 1):
        narrow = max(0, -(-(allowances - _WIDE * wide) // _NARROW))
        for wide_bits in range(1, min(_MAX_KEY_BITS, bits // wide) + 1) if wide else [0]:
            if not narrow:
                yield Bands(wide, wide_bits), NO_BANDS
                continue
            max_bits = min(_MAX_KEY_BITS, (bits - wide * wide_bits) // narrow)
            for narrow_bits in range(max(1, max_bits - 8), max_bits + 1):
                yield Bands(wide, wide_bits), Bands(narrow, narrow_bits)


def _cost(bands: tuple[Bands, Bands], width: int, count: int) -> float:
    """Return the squared time of a search times the bytes of the file."""
    time, size = float(_BASE_COST), float(width * count)
    for kind, allowance in zip(bands, (_WIDE, _NARROW), strict=True):
        time += kind.number * sum(_flip_costs(kind.bits, count)[:allowance])
        size += kind.number * NUMBER_BYTES * (2**kind.bits + count)
    return time**2 * size


@lru_cache(maxsize=256)
def _flip_costs(bits: int, count: int) -> tuple[float, ...]:
    """Return the cost of all keys with no bit flipped, with exactly one, exactly two, and so on."""
    key = _KEY_COST + _ROW_COST * count / 2**bits
    return tuple(key * math.comb(bits, flips) for flips in range(bits + 1))


def allowances(layout: IndexLayout, radius: int) -> Sequence[int] | None:
    """Distribute radius + 1 over the bands, one by one at the least cost; None: scan instead.

    A band with allowance 0 is not looked up.
    """
    costs = [_flip_costs(bits, layout.count) for bits in layout.keys]
    result = [0] * len(costs)
    total = 0.0
    for _ in range(radius + 1):
        next_costs = [c[n] if n < len(c) else math.inf for c, n in zip(costs, result, strict=True)]
        least = min(next_costs, default=math.inf)
        total += least
        if total > _BASE_COST + layout.count / _SCANNED_PER_KEY:
            return None
        result[next_costs.index(least)] += 1
    return result


@lru_cache(maxsize=64)
def bit_positions(keys: tuple[int, ...]) -> Sequence[Sequence[int]]:
    """Return per band the bits of a value that make up its key, dealt out like cards.

    Neighbouring bits of perceptual hashes are correlated, so they go to different bands.
    """
    positions: list[list[int]] = [[] for _ in keys]
    position = 0
    for card in range(max(keys, default=0)):
        for band, bits in enumerate(keys):
            if card < bits:
                positions[band].append(position)
                position += 1
    return positions


SCAN_BELOW = 16384
"""A shorter list gets no bands, because a scan is as fast."""

_BLOCK = 1 << 16
"""Rows whose distance is counted at once."""

_SCAN_FACTOR = 8
"""A row found through a band costs about as much as scanning this many."""

_LAYOUT_RADIUS = {256: 31, 64: 8}
"""Radius for which bands are chosen, by bits; an eighth of the bits for other types."""

Hits = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Rows and their distances, nearest first."""

_NO_ROWS = np.empty(0, np.int64)


class RadiusIndex:
    """The rows of an index file within a distance of a value.  Thread-safe."""

    def __init__(self, file: IndexFile) -> None:
        self._layout = file.layout
        self._numbers = file.numbers
        self._word = np.uint64 if file.layout.width % 8 == 0 else np.uint8
        self._records = file.records.view(f"V{file.layout.width}").reshape(-1)

    def rows(self, value: bytes, radius: int) -> Hits:
        """Return every row at most *radius* bits from *value* (of the width of the file)."""
        words = np.frombuffer(value, self._word)
        candidates = self.candidates(value, radius)
        hits, total = [], self._layout.count if candidates is None else len(candidates)
        for start in range(0, total, _BLOCK):
            stop = start + _BLOCK
            if candidates is None:
                near, distances = _near(self._records[start:stop], words, radius)
                near += start
            else:
                block = candidates[start:stop]
                near, distances = _near(self._records.take(block), words, radius)
                near = block.take(near).astype(np.int64)
            if len(near):
                hits.append(distances << 32 | near)
        if not hits:
            return _NO_ROWS, _NO_ROWS
        nearest_first = np.unique(np.concatenate(hits))
        return nearest_first & MAX_COUNT, nearest_first >> 32

    def candidates(self, value: bytes, radius: int) -> Numbers | None:
        """Return the rows to compare, some more than once; None: all of them."""
        layout = self._layout
        if (plan := _lookup_plan(layout, radius)) is None:
            return None
        index = np.repeat(value_keys(value, layout), plan.keys)
        index ^= plan.flips
        index += plan.starts_at
        begins = self._numbers.take(index)
        index += 1
        sizes = self._numbers.take(index) - begins
        ends = np.cumsum(sizes, dtype=np.int64)
        if ends[-1] > layout.count // _SCAN_FACTOR:
            return None
        begins_at = plan.rows_at + begins  # one range of numbers per key, most of them empty
        begins_at += sizes
        begins_at -= ends
        index = np.repeat(begins_at, sizes)
        index += np.arange(len(index))
        return self._numbers.take(index)


def _near(
    records: NDArray[np.void], target: NDArray[Any], radius: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indexes of the records within *radius* of *target*, and their distances.

    The first two words are compared first: usually they alone are too far away.
    """
    words = records.view(target.dtype).reshape(-1, len(target))
    counts = np.bitwise_count(words[:, 0] ^ target[0])
    if len(target) > 1:
        counts += np.bitwise_count(words[:, 1] ^ target[1])  # at most 128 together
    possible = (counts <= radius).nonzero()[0]
    if len(target) == 1 or not len(possible):
        return possible, counts.take(possible).astype(np.int64)
    distances = np.bitwise_count(words.take(possible, axis=0) ^ target).sum(axis=1, dtype=np.int64)
    near = (distances <= radius).nonzero()[0]
    return possible.take(near), distances.take(near)


class _LookupPlan(NamedTuple):
    """The number of keys per band; for each key its flipped bits and the offsets of its band.

    Offsets of the starts and rows count numbers.
    """

    keys: NDArray[np.int64]
    flips: NDArray[np.int64]
    starts_at: NDArray[np.int64]
    rows_at: NDArray[np.int64]


@lru_cache(maxsize=64)
def _lookup_plan(layout: IndexLayout, radius: int) -> _LookupPlan | None:
    """Concatenate the keys of all bands, so that one value takes a few array operations."""
    bands = allowances(layout, radius) if layout.keys else None
    if bands is None:
        return None
    flips = [
        _flips(bits, allowance - 1) if allowance else _NO_ROWS
        for bits, allowance in zip(layout.keys, bands, strict=True)
    ]
    keys = np.array([len(masks) for masks in flips])
    starts = np.array([layout.band_at(band) for band in range(len(keys))]) // NUMBER_BYTES
    rows = starts + [2**bits + 1 for bits in layout.keys]
    return _LookupPlan(keys, np.concatenate(flips), np.repeat(starts, keys), np.repeat(rows, keys))


def build_bands(file: BinaryIO, layout: IndexLayout, scan_below: int = SCAN_BELOW) -> IndexLayout:
    """Append bands to a written index file, unless it is so short that a scan is as fast.

    Takes 12 bytes of memory per entry, for one band at a time.
    """
    if layout.count < scan_below:
        return layout
    bits = layout.width * 8
    radius = _LAYOUT_RADIUS.get(bits, bits // 8)
    wide, narrow = choose_bands(layout.width, layout.count, radius)
    layout = replace(layout, wide=wide, narrow=narrow)
    file.flush()
    records = np.memmap(file, np.uint8, "r", layout.records_at, (layout.count, layout.width))
    write_bands(file, layout, _sorted_bands(records, layout))
    return layout


def band_keys(records: Records, layout: IndexLayout, band: int) -> Numbers:
    """Return the key of every record in a band."""
    keys = np.zeros(len(records), np.uint32)
    for position in bit_positions(layout.keys)[band]:
        byte, bit = divmod(position, 8)
        keys <<= 1
        keys |= (records[:, byte] >> (7 - bit)) & 1
    return keys


def value_keys(value: bytes, layout: IndexLayout) -> NDArray[np.int64]:
    """Return the keys of one value in all bands."""
    bits = np.unpackbits(np.frombuffer(value, np.uint8)).astype(np.float64)
    return (bits @ _weights(layout)).astype(np.int64)


@lru_cache(maxsize=64)
def _weights(layout: IndexLayout) -> NDArray[np.float64]:
    """Return the weight of each bit of a value in each key, shape (bits, bands)."""
    weights = np.zeros((layout.width * 8, len(layout.keys)))
    for band, positions in enumerate(bit_positions(layout.keys)):
        weights[positions, band] = 2.0 ** np.arange(len(positions))[::-1]
    return weights


def _sorted_bands(records: Records, layout: IndexLayout) -> Iterator[tuple[Numbers, Numbers]]:
    """Yield the starts and the rows, sorted by key, of each band."""
    for band, bits in enumerate(layout.keys):
        pairs = np.empty(layout.count, np.uint64)
        sizes = np.zeros(2**bits + 1, np.int64)
        for start in range(0, layout.count, _BLOCK):
            keys = band_keys(records[start : start + _BLOCK], layout, band)
            rows = np.arange(start, start + len(keys), dtype=np.uint64)
            pairs[start : start + len(keys)] = (keys.astype(np.uint64) << np.uint64(32)) | rows
            distinct, counts = np.unique(keys, return_counts=True)
            sizes[distinct.astype(np.int64) + 1] += counts
        pairs.sort()
        yield np.cumsum(sizes).astype(np.uint32), pairs.astype(np.uint32)


@lru_cache(maxsize=128)
def _flips(bits: int, max_ones: int) -> NDArray[np.int64]:
    """Return all numbers of *bits* bits with at most *max_ones* set; sorted, for the CPU cache."""
    subsets = (itertools.combinations(range(bits), ones) for ones in range(max_ones + 1))
    masks = (sum(1 << bit for bit in ones) for ones in itertools.chain.from_iterable(subsets))
    return np.sort(np.fromiter(masks, np.int64))
