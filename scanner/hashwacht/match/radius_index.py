"""Finding all values within a Hamming distance, exactly.

Pigeonhole (Norouzi, Punjani, Fleet, "Fast exact search in Hamming space with multi-index
hashing", 2014; with uneven thresholds: Qin et al., "GPH", 2018).  The bits are dealt out to B
bands like cards.  Give every band an allowance a, so that the allowances sum to radius + 1: if
two values differed in at least a bits in every band, they would differ in at least radius + 1
bits.  So values within the radius differ in less than a bits in some band, and it is enough
to look, per band, under all keys with up to a - 1 bits flipped.  A band of which only some
bits make the key is flipped no less.  Every candidate's distance is then counted.

With 11 bands for PDQ (radius 31) and 3 for 64 bits (radius 8) no band flips more than 2 bits.
Where that would look at more rows than a scan is worth (a wide radius, correlated values),
everything is scanned: slower, never less.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hashwacht.match.index_file import (
    MAX_COUNT,
    NUMBER_BYTES,
    IndexFile,
    Numbers,
    Records,
    Shape,
    write_bands,
)

SCAN_BELOW = 16384
"""A list shorter than this gets no bands: a scan of it is as fast."""

_BLOCK = 1 << 16
"""Rows whose distance is counted at once."""
_SCAN_FACTOR = 8
"""A row found through a band costs about as much as scanning this many."""
_MAX_FLIPS = 3
"""Flips per band: above, the keys alone outnumber the rows of any real list."""
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
                rows = near + np.int64(start)
            else:
                block = candidates[start:stop]
                near, distances = _near(self._whole.take(block), wanted, radius)
                rows = block[near].astype(np.int64)
            if len(near):
                hits.append(distances << 32 | rows)
        nearest_first = np.unique(np.concatenate(hits)) if hits else _NOTHING
        return nearest_first & MAX_COUNT, nearest_first >> 32

    def candidates(self, value: bytes, radius: int) -> Numbers | None:
        """Give the rows worth a look, some more than once; None if that is all of them."""
        shape = self._shape
        if not shape.bands or radius // shape.bands > _MAX_FLIPS:
            return None
        look = _look(shape, radius)
        at = look.starts_at + (value_keys(value, shape)[look.bands] ^ look.flips)
        begins = self._numbers.take(at)
        sizes = self._numbers.take(at + 1) - begins
        if int(sizes.sum(dtype=np.int64)) > shape.count // _SCAN_FACTOR:
            return None
        some = sizes.nonzero()[0]
        return self._numbers.take(_ranges(look.rows_at[some] + begins[some], sizes[some]))


def _near(
    whole: NDArray[np.void], wanted: NDArray[Any], radius: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the places of the values within *radius* of *wanted*, and their distances.

    The first two words are looked at first: of a stranger they alone are mostly too far away.
    """
    counts = np.bitwise_count(whole.view(wanted.dtype).reshape(-1, len(wanted)) ^ wanted)
    first = counts[:, 0] if len(wanted) == 1 else counts[:, 0] + counts[:, 1]  # at most 128
    maybe = (first <= radius).nonzero()[0]
    if len(wanted) == 1:
        return maybe, first[maybe].astype(np.int64)
    distances = counts[maybe].sum(axis=1, dtype=np.int64)
    near = (distances <= radius).nonzero()[0]
    return maybe[near], distances[near]


class _Look(NamedTuple):
    """Where to look for any value: per key its band, flipped bits, and what belongs to the band.

    *starts_at* and *rows_at* are places in the file, counted in numbers.
    """

    bands: NDArray[np.int64]
    flips: Numbers
    starts_at: NDArray[np.int64]
    rows_at: NDArray[np.int64]


@lru_cache(maxsize=64)
def _look(shape: Shape, radius: int) -> _Look:
    """Lay out the keys of all bands side by side, so that one value takes a few array steps."""
    flips = [
        _flips(shape.key_bits, allowance - 1) if allowance else np.empty(0, np.uint32)
        for allowance in _allowances(radius, shape.bands)
    ]
    bands = np.repeat(np.arange(shape.bands), [len(each) for each in flips])
    starts = np.array([shape.band_at(band) for band in range(shape.bands)]) // NUMBER_BYTES
    starts_at = starts[bands]
    return _Look(bands, np.concatenate(flips), starts_at, starts_at + 2**shape.key_bits + 1)


def build_bands(file: BinaryIO, shape: Shape, scan_below: int = SCAN_BELOW) -> Shape:
    """Append bands to a written index file, unless it is so short that a scan is as fast.

    Needs 12 bytes of memory an entry, for one band at a time.
    """
    if shape.count < scan_below:
        return shape
    bits = shape.width * 8
    bands = -(-(_BUILT_FOR.get(bits, bits // 8) + 1) // 3)
    key_bits = _key_bits(shape.count, bits // bands)
    laid_out = Shape(shape.width, shape.count, shape.fan_bits, bands, key_bits)
    file.flush()
    records = np.memmap(
        file,
        np.uint8,
        "r",
        shape.records_at,
        (shape.count, shape.width),  # the records alone
    )
    return write_bands(file, shape, key_bits, _sorted_bands(records, laid_out))


def _key_bits(count: int, most: int) -> int:
    """Choose how many bits make a key: four keys a row, a quarter as many for very long lists.

    Each further bit halves the rows to look at and doubles a table of 4 bytes a key and band.
    Measured for PDQ (queries/s; bytes an entry): 1 million rows 780; 88 with 18 bits, 3,000
    to 5,300; 169 with 21 bits.
    """
    return max(1, min(most, 24, max(count.bit_length() - 2, min(count.bit_length() + 1, 22))))


def band_keys(records: Records, shape: Shape, band: int) -> Numbers:
    """Give every record's key in a band: each of its bits is *bands* bits from the one before."""
    keys = np.zeros(len(records), np.uint32)
    for number in range(shape.key_bits):
        byte, bit = divmod(band + number * shape.bands, 8)
        keys <<= 1
        keys |= (records[:, byte] >> (7 - bit)) & 1
    return keys


def value_keys(value: bytes, shape: Shape) -> Numbers:
    """Give one value's keys in all bands."""
    bits = np.unpackbits(np.frombuffer(value, np.uint8))[: shape.key_bits * shape.bands]
    places = np.uint32(1) << np.arange(shape.key_bits, dtype=np.uint32)[::-1]
    return places @ bits.astype(np.uint32).reshape(shape.key_bits, shape.bands)


def _sorted_bands(records: Records, shape: Shape) -> Iterator[tuple[Numbers, Numbers]]:
    """Sort the row numbers by key, band after band."""
    for band in range(shape.bands):
        pairs = np.empty(shape.count, np.uint64)
        sizes = np.zeros(2**shape.key_bits + 1, np.int64)
        for start in range(0, shape.count, _BLOCK):
            keys = band_keys(records[start : start + _BLOCK], shape, band)
            rows = np.arange(start, start + len(keys), dtype=np.uint64)
            pairs[start : start + len(keys)] = (keys.astype(np.uint64) << np.uint64(32)) | rows
            found, counts = np.unique(keys, return_counts=True)
            sizes[found.astype(np.int64) + 1] += counts
        pairs.sort()
        yield np.cumsum(sizes).astype(np.uint32), pairs.astype(np.uint32)


def _allowances(radius: int, bands: int) -> list[int]:
    """Deal radius + 1 out to the bands; 0 means that the band need not be looked at."""
    each, rest = divmod(radius + 1, bands)
    return [each + (band < rest) for band in range(bands)]


@lru_cache(maxsize=128)
def _flips(bits: int, most: int) -> Numbers:
    """Give all numbers of this many bits of which at most *most* are set, for caches sorted."""
    chosen = (itertools.combinations(range(bits), ones) for ones in range(most + 1))
    masks = (sum(1 << bit for bit in each) for each in itertools.chain.from_iterable(chosen))
    return np.sort(np.fromiter(masks, np.uint32))


def _ranges(begins: NDArray[np.int64], sizes: Numbers) -> NDArray[np.int64]:
    """Give all numbers of the ranges that have these begins and sizes."""
    ends = np.cumsum(sizes, dtype=np.int64)
    offsets = np.repeat(begins - ends + sizes, sizes)
    return offsets + np.arange(len(offsets))
