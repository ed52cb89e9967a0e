"""Sorting records that do not fit into memory."""

from __future__ import annotations

import tempfile

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hashwacht.matching.hashlists.external_sort import RecordSorter

WIDTH = 4

# Two letters, so that duplicates and equal beginnings are common.
records = st.binary(min_size=WIDTH, max_size=WIDTH).map(
    lambda raw: bytes(byte & 1 or 255 for byte in raw)
)
runs = st.lists(st.lists(records, max_size=30), max_size=6)


blocks = st.sampled_from([1, 4 * WIDTH, 1000 * WIDTH])


def _sorted(added: list[list[bytes]], key: int, memory: int = 1000) -> list[bytes]:
    with tempfile.TemporaryFile() as spool:
        sorter = RecordSorter(spool, WIDTH, key)
        for run in added:
            for record in run:
                sorter.add(record)
            sorter.spill()
        return [row.tobytes() for block in sorter.blocks(memory) for row in block]


@given(runs, blocks)
@settings(max_examples=150, deadline=None)
def test_all_records_come_back_sorted_and_once(added: list[list[bytes]], memory: int) -> None:
    expected = sorted({record for run in added for record in run})
    assert _sorted(added, WIDTH, memory) == expected


@given(runs, blocks)
@settings(max_examples=100, deadline=None)
def test_of_records_with_an_equal_key_the_smallest_stays(
    added: list[list[bytes]], memory: int
) -> None:
    smallest: dict[bytes, bytes] = {}
    for record in sorted(record for run in added for record in run):
        smallest.setdefault(record[:2], record)
    assert _sorted(added, 2, memory) == sorted(smallest.values())


def test_many_blocks_of_many_runs_are_merged() -> None:
    """More than one block per run: the bound moves through blocks of unequal content."""
    numbers = np.random.default_rng(3).integers(0, 50_000, 60_000)
    numbers[:20_000] //= 1000  # runs of few values, repeated over several blocks
    memory = 40_000
    with tempfile.TemporaryFile() as spool:
        sorter = RecordSorter(spool, WIDTH, WIDTH)
        for start in range(0, len(numbers), 6_000):
            for number in numbers[start : start + 6_000].tolist():
                sorter.add(number.to_bytes(WIDTH, "big"))
            sorter.spill()
        blocks = list(sorter.blocks(memory))
    assert max(len(block) for block in blocks) * WIDTH <= memory
    assert len(blocks) > 3
    merged = np.concatenate(blocks).view(">u4").reshape(-1)
    assert (merged == np.unique(numbers)).all()


def test_zero_bytes_at_the_end_of_a_record_count() -> None:
    """Numpy's own byte strings drop them when shown; here they are part of the value."""
    added = [[b"a\0\0\0", b"\0\0\0\0"], [b"a\0\0\1", b"a\0\0\0"]]
    assert _sorted(added, WIDTH) == [b"\0\0\0\0", b"a\0\0\0", b"a\0\0\1"]
