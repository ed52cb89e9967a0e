"""Finding all values within a Hamming distance, exactly.

Pigeonhole (Norouzi, Punjani, Fleet, "Fast exact search in Hamming space with multi-index
hashing", 2014; with uneven thresholds: Qin et al., "GPH", 2018).  The bits are dealt out to B
bands like cards.  Give every band an allowance a, so that the allowances sum to radius + 1: if
two values differed in at least a bits in every band, they would differ in at least radius + 1
bits.  So values within the radius differ in less than a bits in some band, and it is enough
to look, per band, under all keys with up to a - 1 bits flipped.  A band of which only some
bits make the key is flipped no less.  Every candidate's distance is then counted.

``radius_index`` deals out bits and allowances.  Where that would look at more
rows than a scan is worth (a wide radius, correlated values), everything is scanned: slower,
never less.

How the bits of a value are dealt out to bands, and how far each is searched for a radius.

What a search costs is known beforehand for values whose bits are fair coins: every key is looked
up, and under each lie count / 2**bits rows.  Wide keys are looked up with two bits flipped, which
is many keys with few rows, narrow ones with one; a mixture of both is better than either, in time
and in size.  Real values crowd together: that costs time, never a match.
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


def allowances(shape: IndexLayout, radius: int) -> Sequence[int] | None:
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


SCAN_BELOW = 16384
"""A list shorter than this gets no bands: a scan of it is as fast."""

_BLOCK = 1 << 16
"""Rows whose distance is counted at once."""
_SCAN_FACTOR = 8
"""A row found through a band costs about as much as scanning this many."""
_BUILT_FOR = {256: 31, 64: 8}
"""Radius for which the bands are laid out, by bits; an eighth of the bits for others."""

Hits = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Rows and their distances, nearest first."""

_NOTHING = np.empty(0, np.int64)


class RadiusIndex:
    """The rows of an index file within a distance of a value.  Thread-safe."""

    def __init__(self, file: IndexFile) -> None:
        self._shape = file.shape
        self._numbers = file.numbers
        self._word = np.uint64 if file.shape.width % 8 == 0 else np.uint8
        self._whole = file.records.view(f"V{file.shape.width}").reshape(-1)

    def rows(self, value: bytes, radius: int) -> Hits:
        """Give every row at most *radius* bits from *value* (of the width of the file)."""
        wanted = np.frombuffer(value, self._word)
        candidates = self.candidates(value, radius)
        hits = []
        for start in range(0, self._shape.count if candidates is None else len(candidates), _BLOCK):
            stop = start + _BLOCK
            if candidates is None:
                near, distances = _near(self._whole[start:stop], wanted, radius)
                near += start
            else:
                block = candidates[start:stop]
                near, distances = _near(self._whole.take(block), wanted, radius)
                near = block.take(near).astype(np.int64)
            if len(near):
                hits.append(distances << 32 | near)
        if not hits:
            return _NOTHING, _NOTHING
        nearest_first = np.unique(np.concatenate(hits))
        return nearest_first & MAX_COUNT, nearest_first >> 32

    def candidates(self, value: bytes, radius: int) -> Numbers | None:
        """Give the rows worth a look, some more than once; None if that is all of them."""
        shape = self._shape
        if (look := _look(shape, radius)) is None:
            return None
        at = np.repeat(value_keys(value, shape), look.keys)
        at ^= look.flips
        at += look.starts_at
        begins = self._numbers.take(at)
        at += 1
        sizes = self._numbers.take(at) - begins
        ends = np.cumsum(sizes, dtype=np.int64)
        if ends[-1] > shape.count // _SCAN_FACTOR:
            return None
        begins_at = look.rows_at + begins  # one range of places for each key, most of them empty
        begins_at += sizes
        begins_at -= ends
        at = np.repeat(begins_at, sizes)
        at += np.arange(len(at))
        return self._numbers.take(at)


def _near(
    whole: NDArray[np.void], wanted: NDArray[Any], radius: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the places of the values within *radius* of *wanted*, and their distances.

    The first two words are looked at first: of a stranger they alone are mostly too far away.
    """
    words = whole.view(wanted.dtype).reshape(-1, len(wanted))
    counts = np.bitwise_count(words[:, 0] ^ wanted[0])
    if len(wanted) > 1:
        counts += np.bitwise_count(words[:, 1] ^ wanted[1])  # at most 128 together
    maybe = (counts <= radius).nonzero()[0]
    if len(wanted) == 1 or not len(maybe):
        return maybe, counts.take(maybe).astype(np.int64)
    distances = np.bitwise_count(words.take(maybe, axis=0) ^ wanted).sum(axis=1, dtype=np.int64)
    near = (distances <= radius).nonzero()[0]
    return maybe.take(near), distances.take(near)


class _Look(NamedTuple):
    """Where to look for any value: how many keys in each band, and about each of them in turn.

    That is the flipped bits, and where its band's starts and rows are, counted in numbers.
    """

    keys: NDArray[np.int64]
    flips: NDArray[np.int64]
    starts_at: NDArray[np.int64]
    rows_at: NDArray[np.int64]


@lru_cache(maxsize=64)
def _look(shape: IndexLayout, radius: int) -> _Look | None:
    """Lay out the keys of all bands side by side, so that one value takes a few array steps."""
    dealt = allowances(shape, radius) if shape.keys else None
    if dealt is None:
        return None
    flips = [
        _flips(bits, allowance - 1) if allowance else _NOTHING
        for bits, allowance in zip(shape.keys, dealt, strict=True)
    ]
    keys = np.array([len(each) for each in flips])
    starts = np.array([shape.band_at(band) for band in range(len(keys))]) // NUMBER_BYTES
    rows = starts + [2**bits + 1 for bits in shape.keys]
    return _Look(keys, np.concatenate(flips), np.repeat(starts, keys), np.repeat(rows, keys))


def build_bands(file: BinaryIO, shape: IndexLayout, scan_below: int = SCAN_BELOW) -> IndexLayout:
    """Append bands to a written index file, unless it is so short that a scan is as fast.

    Needs 12 bytes of memory an entry, for one band at a time.
    """
    if shape.count < scan_below:
        return shape
    bits = shape.width * 8
    wide, narrow = layout(shape.width, shape.count, _BUILT_FOR.get(bits, bits // 8))
    laid_out = replace(shape, wide=wide, narrow=narrow)
    file.flush()
    records = np.memmap(
        file,
        np.uint8,
        "r",
        shape.records_at,
        (shape.count, shape.width),  # the records alone
    )
    write_bands(file, laid_out, _sorted_bands(records, laid_out))
    return laid_out


def band_keys(records: Records, shape: IndexLayout, band: int) -> Numbers:
    """Give every record's key in a band."""
    keys = np.zeros(len(records), np.uint32)
    for place in places(shape.keys)[band]:
        byte, bit = divmod(place, 8)
        keys <<= 1
        keys |= (records[:, byte] >> (7 - bit)) & 1
    return keys


def value_keys(value: bytes, shape: IndexLayout) -> NDArray[np.int64]:
    """Give one value's keys in all bands."""
    bits = np.unpackbits(np.frombuffer(value, np.uint8)).astype(np.float64)
    return (bits @ _weights(shape)).astype(np.int64)


@lru_cache(maxsize=64)
def _weights(shape: IndexLayout) -> NDArray[np.float64]:
    """(bits of a value, bands): what each bit counts in each key; their sums are exact."""
    weights = np.zeros((shape.width * 8, len(shape.keys)))
    for band, chosen in enumerate(places(shape.keys)):
        weights[chosen, band] = 2.0 ** np.arange(len(chosen))[::-1]
    return weights


def _sorted_bands(records: Records, shape: IndexLayout) -> Iterator[tuple[Numbers, Numbers]]:
    """Sort the row numbers by key, band after band."""
    for band, bits in enumerate(shape.keys):
        pairs = np.empty(shape.count, np.uint64)
        sizes = np.zeros(2**bits + 1, np.int64)
        for start in range(0, shape.count, _BLOCK):
            keys = band_keys(records[start : start + _BLOCK], shape, band)
            rows = np.arange(start, start + len(keys), dtype=np.uint64)
            pairs[start : start + len(keys)] = (keys.astype(np.uint64) << np.uint64(32)) | rows
            found, counts = np.unique(keys, return_counts=True)
            sizes[found.astype(np.int64) + 1] += counts
        pairs.sort()
        yield np.cumsum(sizes).astype(np.uint32), pairs.astype(np.uint32)


@lru_cache(maxsize=128)
def _flips(bits: int, most: int) -> NDArray[np.int64]:
    """Give all numbers of this many bits of which at most *most* are set, for caches sorted."""
    chosen = (itertools.combinations(range(bits), ones) for ones in range(most + 1))
    masks = (sum(1 << bit for bit in each) for each in itertools.chain.from_iterable(chosen))
    return np.sort(np.fromiter(masks, np.int64))
