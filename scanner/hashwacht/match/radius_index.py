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
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hashwacht.match.index_file import IndexFile, Numbers, Records, Shape, write_bands

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


class RadiusIndex:
    """The rows of an index file within a distance of a value.  Thread-safe."""

    def __init__(self, file: IndexFile) -> None:
        self._shape = file.shape
        word = np.uint64 if file.shape.width % 8 == 0 else np.uint8
        self._words: NDArray[Any] = file.records.view(word)
        self._bands = [file.band(band) for band in range(file.shape.bands)]

    def rows(self, value: bytes, radius: int) -> Hits:
        """Give every row at most *radius* bits from *value* (of the width of the file)."""
        wanted = np.frombuffer(value, self._words.dtype)
        candidates = self.candidates(value, radius)
        hits = [np.empty((2, 0), np.int64)]
        for start in range(0, self._shape.count if candidates is None else len(candidates), _BLOCK):
            stop = start + _BLOCK
            rows = slice(start, stop) if candidates is None else candidates[start:stop]
            distances = np.bitwise_count(self._words[rows] ^ wanted).sum(axis=1, dtype=np.int64)
            near = np.flatnonzero(distances <= radius)
            found = near + start if candidates is None else candidates[start:stop][near]
            hits.append(np.stack((distances[near], found.astype(np.int64))))
        nearest_first = np.unique(np.concatenate(hits, axis=1), axis=1)
        return nearest_first[1], nearest_first[0]

    def candidates(self, value: bytes, radius: int) -> Numbers | None:
        """Give the rows worth a look, some more than once; None if that is all of them."""
        shape = self._shape
        if not shape.bands or radius // shape.bands > _MAX_FLIPS:
            return None
        asked = value_keys(value, shape)
        budget, found = shape.count // _SCAN_FACTOR, []
        for band, allowance in enumerate(_allowances(radius, shape.bands)):
            if not allowance:
                continue
            starts, rows = self._bands[band]
            keys = asked[band] ^ _flips(shape.key_bits, allowance - 1)
            begins, sizes = starts[keys], starts[keys + 1] - starts[keys]
            if (budget := budget - int(sizes.sum(dtype=np.int64))) < 0:
                return None
            found.append(rows[_ranges(begins, sizes)])
        return np.concatenate(found)


def build_bands(file: BinaryIO, shape: Shape, scan_below: int = SCAN_BELOW) -> Shape:
    """Append bands to a written index file, unless it is so short that a scan is as fast.

    Needs 12 bytes of memory an entry, for one band at a time.
    """
    if shape.count < scan_below:
        return shape
    bits = shape.width * 8
    bands = -(-(_BUILT_FOR.get(bits, bits // 8) + 1) // 3)
    key_bits = max(1, min(bits // bands, shape.count.bit_length() - 2, 24))
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
    """Give all numbers of this many bits of which at most *most* are set."""
    chosen = (itertools.combinations(range(bits), ones) for ones in range(most + 1))
    masks = (sum(1 << bit for bit in each) for each in itertools.chain.from_iterable(chosen))
    return np.fromiter(masks, np.uint32)


def _ranges(begins: Numbers, sizes: Numbers) -> NDArray[np.int64]:
    """Give all numbers of the ranges that have these begins and sizes."""
    ends = np.cumsum(sizes, dtype=np.int64)
    offsets = np.repeat(begins.astype(np.int64) - ends + sizes, sizes)
    return offsets + np.arange(len(offsets))
