"""Exact search in an index file: a fan-out table, then a few records.

The layout is that of a git pack index: the first bits of a value select the range of sorted records
that can contain it (git, Documentation/gitformat-pack).
"""

from __future__ import annotations

from hashwacht.matching.hashlists.index_file import IndexFile, prefix

_MAX_LINEAR = 64
"""Records of a bucket that are searched linearly; larger buckets are bisected first."""

_NONE = range(0)


class ExactIndex:
    """The rows of an index file that are equal to a value.  Thread-safe."""

    def __init__(self, file: IndexFile) -> None:
        self._file = file
        self._bytes = file.bytes
        self._fan_out = file.fan_out
        self._layout = file.layout

    def rows(self, value: bytes) -> range:
        """Return the rows that are equal to *value* (of the width of the file)."""
        bucket = prefix(value, self._layout.fan_bits)
        low, high = int(self._fan_out[bucket]), int(self._fan_out[bucket + 1])
        if high - low > _MAX_LINEAR:
            low = self._first_not_below(value, low, high)
            return range(low, self._end_of(value, low, high))
        row = self._find(value, low, high)
        return range(row, self._end_of(value, row, high)) if row < high else _NONE

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

    def _first_not_below(self, value: bytes, low: int, high: int) -> int:
        while low < high:
            middle = (low + high) // 2
            if self._record(middle) < value:
                low = middle + 1
            else:
                high = middle
        return low

    def _end_of(self, value: bytes, row: int, high: int) -> int:
        while row < high and self._record(row) == value:
            row += 1
        return row

    def _record(self, row: int) -> bytes:
        start = self._layout.records_at + row * self._layout.width
        return self._bytes[start : start + self._layout.width]
