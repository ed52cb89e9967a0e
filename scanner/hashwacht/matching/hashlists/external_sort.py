"""Sorts fixed-width records that may not fit into memory.

Runs of some megabytes are sorted with numpy and written to a spool file, then merged block by
block (external merge sort; Knuth, The Art of Computer Programming, vol. 3, 5.4).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

Records = NDArray[np.uint8]
"""Shape (count, width): one record per row."""

_PREFIX = 8
"""Bytes by which records are sorted first."""

_MAX_SHARED = 10_000
"""Groups of records with the same first bytes; with more of them numpy sorts all bytes."""

MERGE_BYTES = 32 << 20
"""Bytes of the blocks of all runs together while merging."""


class RecordSorter:
    """Sorts records of *width* bytes and drops duplicates.

    Two records are duplicates if their first *key* bytes are equal; the smaller one is kept.
    *spool* is an empty temporary file, open for reading and writing.
    """

    def __init__(self, spool: BinaryIO, width: int, key: int) -> None:
        self.count = 0
        self._spool, self._width, self._key = spool, width, key
        self._buffer = bytearray()
        self._runs: list[tuple[int, int]] = []

    @property
    def buffered(self) -> int:
        """Bytes held in memory that :meth:`spill` would write out."""
        return len(self._buffer)

    def add(self, record: bytes) -> None:
        """Add one record."""
        self._buffer += record
        self.count += 1

    def add_all(self, records: Records) -> None:
        """Add many records."""
        self._buffer += records.data
        self.count += len(records)

    def spill(self) -> None:
        """Sort the records in memory and write them to the spool as one run."""
        if not self._buffer:
            return
        start = self._spool.seek(0, 2)
        self._spool.write(_sorted(np.frombuffer(self._buffer, f"S{self._width}")).data)
        self._runs.append((start, len(self._buffer) // self._width))
        self._buffer = bytearray()

    def blocks(self, memory: int = MERGE_BYTES) -> Iterator[Records]:
        """Yield all records, sorted, in blocks of at most *memory* bytes."""
        self.spill()
        self._spool.flush()
        size = max(1, memory // self._width // max(1, len(self._runs)))
        last = np.empty((0, self._width), np.uint8)
        for merged in self._merge([_Run(start, count) for start, count in self._runs], size):
            rows = merged.view(np.uint8).reshape(-1, self._width)
            unique = rows[_is_first(np.concatenate((last, rows)), self._key, len(last))]
            last = rows[-1:]
            if len(unique):
                yield unique

    def _merge(self, runs: list[_Run], size: int) -> Iterator[NDArray[np.bytes_]]:
        """Yield sorted blocks: all records up to the smallest end of a block with more on disk."""
        while runs:
            for run in runs:
                run.refill(self._spool, self._width, size)
            ends = [run.block[-1:] for run in runs if run.remaining]
            bound = np.sort(np.concatenate(ends))[:1] if ends else None
            parts = [run.take(bound) for run in runs]
            yield parts[0] if len(parts) == 1 else _sorted(np.concatenate(parts))
            runs = [run for run in runs if run.remaining or len(run.block)]


@dataclass(slots=True)
class _Run:
    """A sorted range of the spool: its records in memory, and how many remain on disk."""

    start: int
    remaining: int
    block: NDArray[np.bytes_] = field(default_factory=lambda: np.empty(0, "S1"))

    def refill(self, spool: BinaryIO, width: int, size: int) -> None:
        if len(self.block) or not self.remaining:
            return
        count = min(size, self.remaining)
        spool.seek(self.start)
        self.block = np.frombuffer(spool.read(count * width), f"S{width}")
        self.start += count * width
        self.remaining -= count

    def take(self, bound: NDArray[np.bytes_] | None) -> NDArray[np.bytes_]:
        end = len(self.block)
        if bound is not None:
            end = int(np.searchsorted(self.block, bound, side="right")[0])
        head, self.block = self.block[:end], self.block[end:]
        return head


def _sorted(records: NDArray[np.bytes_]) -> NDArray[np.bytes_]:
    """Return records in the order of their bytes.

    numpy pads with zeros, which has no effect for equal widths.  Their first eight bytes as numbers
    are sorted four times faster, and hardly any digests share them.
    """
    width = records.dtype.itemsize
    if width <= _PREFIX:
        return np.sort(records)
    rows = records.view(np.uint8).reshape(-1, width)
    prefixes = np.ascontiguousarray(rows[:, :_PREFIX]).view(">u8").ravel()
    order = np.argsort(prefixes.astype(np.uint64))
    ordered, prefixes = records[order], prefixes[order]
    changes = np.flatnonzero(prefixes[1:] != prefixes[:-1]) + 1
    starts = np.concatenate(([0], changes))
    ends = np.concatenate((changes, [len(records)]))
    shared = np.flatnonzero(ends - starts > 1)
    if len(shared) > _MAX_SHARED:
        return np.sort(records)
    for group in shared:
        ordered[starts[group] : ends[group]] = np.sort(ordered[starts[group] : ends[group]])
    return ordered


def _is_first(rows: Records, key: int, skip: int) -> NDArray[np.bool_]:
    """Return for every row after the first *skip* whether its key differs from the row before."""
    changed = np.ones(len(rows), np.bool_)
    changed[1:] = (rows[1:, :key] != rows[:-1, :key]).any(axis=1)
    return changed[skip:]
