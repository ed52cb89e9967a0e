"""The file ``TYPE.index``: the sorted values of one signal type, mapped by every process.

::

    header    64 bytes
    records   count x width bytes, sorted, each in big-endian (the order of its hex digits)
    fan-out   2**fan_bits + 1 numbers: the first record of each prefix
    bands     for perceptual types: per band 2**bits + 1 numbers, then count row numbers

All numbers are little-endian and 32 bits wide; sections begin at multiples of 64.  Files are
written once, in a new directory, and never changed: a mapping stays valid when the list is replaced
or removed.

The fan-out table is that of a git pack index (git, Documentation/gitformat-pack): the first bits of
a value select the range of sorted records that can contain it.
"""

from __future__ import annotations

import mmap
import os
import struct
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hashwacht.core.errors import ListError

Numbers = NDArray[np.uint32]
Records = NDArray[np.uint8]

MAX_COUNT = 2**32 - 1
_ALIGN = 64
_HEADER = struct.Struct("<8sIIQIIII")
_MAGIC = b"HWINDEX1"
_NUMBER = np.dtype("<u4")
NUMBER_BYTES = 4
_PER_BUCKET = 3
"""log2 of the records behind one number of the fan-out: 8, so it costs half a byte an entry."""
_MAX_FAN_BITS = 24


class Bands(NamedTuple):
    """*number* bands, each with a key of *bits* bits."""

    number: int
    bits: int


NO_BANDS = Bands(0, 0)


@dataclass(frozen=True, slots=True)
class IndexLayout:
    """The sections of an index file: *width* of a record in bytes, two kinds of bands or none."""

    width: int
    count: int
    fan_bits: int
    wide: Bands = NO_BANDS
    narrow: Bands = NO_BANDS

    @property
    def keys(self) -> tuple[int, ...]:
        """Bits of the key of every band, wide ones first."""
        return (self.wide.bits,) * self.wide.number + (self.narrow.bits,) * self.narrow.number

    @property
    def records_at(self) -> int:
        """Offset of the records."""
        return _ALIGN

    @property
    def fan_out_at(self) -> int:
        """Offset of the fan-out table."""
        return _aligned(self.records_at + self.count * self.width)

    def band_at(self, band: int) -> int:
        """Return the offset of the numbers of a band."""
        first = _aligned(self.fan_out_at + NUMBER_BYTES * (2**self.fan_bits + 1))
        wide = min(band, self.wide.number)
        return first + wide * self._size(self.wide) + (band - wide) * self._size(self.narrow)

    def _size(self, kind: Bands) -> int:
        return _aligned(NUMBER_BYTES * (2**kind.bits + 1 + self.count))

    @property
    def size(self) -> int:
        """Length of the file in bytes."""
        return self.band_at(self.wide.number + self.narrow.number)

    def header(self) -> bytes:
        """Return the header, the first bytes of the file."""
        numbers = (self.width, self.fan_bits, self.count, *self.wide, *self.narrow)
        return _HEADER.pack(_MAGIC, *numbers).ljust(_ALIGN, b"\0")

    @classmethod
    def parse(cls, header: bytes) -> IndexLayout:
        """Parse a header.  Raises ListError."""
        if len(header) < _ALIGN or not header.startswith(_MAGIC):
            raise ListError("not an index file of this version")
        _, width, fan_bits, count, *bands = _HEADER.unpack_from(header)
        wide, narrow = Bands(*bands[:2]), Bands(*bands[2:])
        key_bits = wide.number * wide.bits + narrow.number * narrow.bits
        valid = 0 < count <= MAX_COUNT and width and key_bits <= width * 8
        if not valid or max(fan_bits, wide.bits, narrow.bits) > _ALIGN // 2:
            raise ListError("the header of the index file is invalid")
        return cls(width, count, fan_bits, wide, narrow)


class IndexFile:
    """An index file, mapped read-only."""

    def __init__(self, path: Path, width: int) -> None:
        """Map the file.  Raises OSError, or ListError for an incomplete index or another width."""
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            size = os.fstat(fd).st_size
            self.layout = IndexLayout.parse(os.pread(fd, _ALIGN, 0))
            if (size, width) != (self.layout.size, self.layout.width):
                raise ListError("the size of the index file differs from its header")
            self.bytes = mmap.mmap(fd, size, access=mmap.ACCESS_READ)
        finally:
            os.close(fd)
        self.fan_out = self._numbers(self.layout.fan_out_at, 2**self.layout.fan_bits + 1)
        complete = self.fan_out[0] == 0 and self.fan_out[-1] == self.layout.count
        if not complete or (self.fan_out[1:] < self.fan_out[:-1]).any():
            raise ListError("the fan-out table of the index file does not cover its records")

    @property
    def records(self) -> Records:
        """All values, sorted; shape (count, width)."""
        count, width = self.layout.count, self.layout.width
        values = np.frombuffer(self.bytes, np.uint8, count * width, self.layout.records_at)
        return values.reshape(count, width)

    @property
    def numbers(self) -> Numbers:
        """The whole file as numbers, for the bands; the layout has their offsets."""
        return self._numbers(0, self.layout.size // NUMBER_BYTES)

    def _numbers(self, offset: int, count: int) -> Numbers:
        return np.frombuffer(self.bytes, _NUMBER, count, offset)


def write_records(
    file: BinaryIO, blocks: Iterable[Records], width: int, max_count: int
) -> IndexLayout:
    """Write header, at most *max_count* sorted records and fan-out to an empty file."""
    fan_bits = min(_MAX_FAN_BITS, width * 8, max(0, max_count.bit_length() - _PER_BUCKET))
    sizes = np.zeros(2**fan_bits + 1, np.int64)
    count = 0
    file.seek(_ALIGN)
    for block in blocks:
        file.write(np.ascontiguousarray(block).data)
        prefixes, counts = np.unique(_prefixes(block, fan_bits), return_counts=True)
        sizes[prefixes + 1] += counts
        count += len(block)
    if count > MAX_COUNT:
        advice = "Split the list and import the parts."
        raise ListError(f"more than {MAX_COUNT} entries of one type", advice=advice)
    layout = IndexLayout(width, count, fan_bits)
    file.seek(layout.fan_out_at)
    file.write(np.cumsum(sizes).astype(_NUMBER).data)
    _finish(file, layout)
    return layout


def write_bands(
    file: BinaryIO, layout: IndexLayout, bands: Iterable[tuple[Numbers, Numbers]]
) -> None:
    """Append the bands of *layout* (starts, rows) after :func:`write_records`, then the header."""
    for number, (starts, rows) in enumerate(bands):
        file.seek(layout.band_at(number))
        file.write(starts.astype(_NUMBER).data)
        file.write(rows.astype(_NUMBER).data)
    _finish(file, layout)


def prefix(value: bytes, bits: int) -> int:
    """Return the first *bits* bits of a value as a number (at most 32)."""
    return int.from_bytes(value[:4].ljust(4, b"\0"), "big") >> (32 - bits)


def _prefixes(records: Records, bits: int) -> NDArray[np.int64]:
    first = np.zeros((len(records), 4), np.uint8)
    first[:, : records.shape[1]] = records[:, :4]
    return first.view(">u4").reshape(-1).astype(np.int64) >> (32 - bits)


def _finish(file: BinaryIO, layout: IndexLayout) -> None:
    file.seek(0)
    file.write(layout.header())
    file.truncate(layout.size)


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGN) * _ALIGN


_MAX_LINEAR = 64
"""Records of a bucket that are searched linearly; larger buckets are bisected first."""


class ExactIndex:
    """The rows of an index file that are equal to a value.  Thread-safe."""

    def __init__(self, file: IndexFile) -> None:
        self._bytes, self._fan_out, self._layout = file.bytes, file.fan_out, file.layout

    def rows(self, value: bytes) -> range:
        """Return the rows that are equal to *value* (of the width of the file)."""
        bucket = prefix(value, self._layout.fan_bits)
        low, high = int(self._fan_out[bucket]), int(self._fan_out[bucket + 1])
        if high - low > _MAX_LINEAR:
            row = bisect_left(range(high), value, low, high, key=self._record)
        else:
            row = self._find(value, low, high)
        return range(row, self._end_of(value, row, high))

    def _find(self, value: bytes, low: int, high: int) -> int:
        """Search a few records with the mapping's own search, which can hit between two records."""
        width, start = self._layout.width, self._layout.records_at
        position, end = start + low * width, start + high * width
        while (position := self._bytes.find(value, position, end)) >= 0:
            row, remainder = divmod(position - start, width)
            if not remainder:
                return row
            position += 1
        return high

    def _end_of(self, value: bytes, row: int, high: int) -> int:
        while row < high and self._record(row) == value:
            row += 1
        return row

    def _record(self, row: int) -> bytes:
        start = self._layout.records_at + row * self._layout.width
        return self._bytes[start : start + self._layout.width]
