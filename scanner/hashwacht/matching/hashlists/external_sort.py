"""Sorting fixed-width records that need not fit into memory.

Runs of some megabytes are sorted with numpy and written to a spool file, then merged block by
block (external merge sort; Knuth, The Art of Computer Programming, vol. 3, 5.4).  Nothing is
kept per record but its bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

Records = NDArray[np.uint8]
"""Shape (count, width): one record a row."""

MERGE_BYTES = 32 << 20
"""What the blocks of all runs together may take while merging."""


class RecordSorter:
    """Takes records of *width* bytes, gives them back sorted, without duplicates.

    Two records are duplicates if their first *key* bytes are equal; which of them stays is
    the smaller one.  *spool* is a file of our own, open for reading and writing.
    """

    def __init__(self, spool: BinaryIO, width: int, key: int) -> None:
        self.count = 0
        self._spool = spool
        self._width = width
        self._key = key
        self._fresh = bytearray()
        self._runs: list[tuple[int, int]] = []

    @property
    def buffered(self) -> int:
        """Bytes held in memory that :meth:`spill` would write out."""
        return len(self._fresh)

    def add(self, record: bytes) -> None:
        """Take one record, duplicates included."""
        self._fresh += record
        self.count += 1

    def spill(self) -> None:
        """Sort what is in memory and write it to the spool as one run."""
        if not self._fresh:
            return
        start = self._spool.seek(0, 2)
        self._spool.write(self._sorted(np.frombuffer(self._fresh, f"S{self._width}")).data)
        self._runs.append((start, len(self._fresh) // self._width))
        self._fresh = bytearray()

    def blocks(self, memory: int = MERGE_BYTES) -> Iterator[Records]:
        """Give all records back, sorted, in blocks of at most *memory* bytes."""
        self.spill()
        self._spool.flush()
        size = max(1, memory // self._width // max(1, len(self._runs)))
        last = np.empty((0, self._width), np.uint8)
        for merged in self._merge([_Run(start, count) for start, count in self._runs], size):
            rows = merged.view(np.uint8).reshape(-1, self._width)
            fresh = rows[_is_first(np.concatenate((last, rows)), self._key, len(last))]
            last = rows[-1:]
            if len(fresh):
                yield fresh

    def _merge(self, runs: list[_Run], size: int) -> Iterator[NDArray[np.bytes_]]:
        """Give sorted blocks: everything up to the first end of a block that has a sequel."""
        while runs:
            for run in runs:
                run.refill(self._spool, self._width, size)
            ends = [run.block[-1:] for run in runs if run.left]
            bound = self._sorted(np.concatenate(ends))[:1] if ends else None
            yield self._sorted(np.concatenate([run.take(bound) for run in runs]))
            runs = [run for run in runs if run.left or len(run.block)]

    @staticmethod
    def _sorted(records: NDArray[np.bytes_]) -> NDArray[np.bytes_]:
        """Sort as bytes: numpy pads with zeros, which for equal widths changes nothing."""
        return np.sort(records)


@dataclass(slots=True)
class _Run:
    """A sorted stretch of the spool: what of it is in memory, and what is *left* on disk."""

    start: int
    left: int
    block: NDArray[np.bytes_] = field(default_factory=lambda: np.empty(0, "S1"))

    def refill(self, spool: BinaryIO, width: int, size: int) -> None:
        if len(self.block) or not self.left:
            return
        count = min(size, self.left)
        spool.seek(self.start)
        self.block = np.frombuffer(spool.read(count * width), f"S{width}")
        self.start += count * width
        self.left -= count

    def take(self, bound: NDArray[np.bytes_] | None) -> NDArray[np.bytes_]:
        """Take what is not above *bound* out of the block."""
        end = len(self.block)
        if bound is not None:
            end = int(np.searchsorted(self.block, bound, side="right")[0])
        taken, self.block = self.block[:end], self.block[end:]
        return taken


def _is_first(rows: Records, key: int, known: int) -> NDArray[np.bool_]:
    """Tell for every row after the *known* ones if its key differs from the row before."""
    changed = np.ones(len(rows), np.bool_)
    changed[1:] = (rows[1:, :key] != rows[:-1, :key]).any(axis=1)
    return changed[known:]
