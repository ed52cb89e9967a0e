"""Finding a value among sorted ones: a fan-out table, then a few records.

The layout is that of a git pack index: the first bits of a value say between which two places
of the sorted records it must stand (git, Documentation/gitformat-pack).
"""

from __future__ import annotations

from hashwacht.matching.hashlists.index_file import IndexFile, prefix

_SHORT = 64
"""Records of a bucket that are searched one after the other; more are bisected first."""

_NONE = range(0)


class ExactIndex:
    """The rows of an index file that are equal to a value.  Thread-safe."""

    def __init__(self, file: IndexFile) -> None:
        self._file = file
        self._bytes = file.bytes
        self._fan_out = file.fan_out
        self._shape = file.shape

    def rows(self, value: bytes) -> range:
        """Give the rows that hold exactly *value* (of the width of the file)."""
        bucket = prefix(value, self._shape.fan_bits)
        low, high = int(self._fan_out[bucket]), int(self._fan_out[bucket + 1])
        if high - low > _SHORT:
            low = self._first_not_below(value, low, high)
            return range(low, self._end_of(value, low, high))
        row = self._find(value, low, high)
        return range(row, self._end_of(value, row, high)) if row < high else _NONE

    def _find(self, value: bytes, low: int, high: int) -> int:
        """Search a few records by the mapping's own search, which may hit between two."""
        width, start = self._shape.width, self._shape.records_at
        at, end = start + low * width, start + high * width
        while (at := self._bytes.find(value, at, end)) >= 0:
            row, offset = divmod(at - start, width)
            if not offset:
                return row
            at += 1
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
        """Give the end of the run of records equal to *value* that begins at *row*."""
        while row < high and self._record(row) == value:
            row += 1
        return row

    def _record(self, row: int) -> bytes:
        at = self._shape.records_at + row * self._shape.width
        return self._bytes[at : at + self._shape.width]
