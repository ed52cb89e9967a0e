from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashwacht_plugins import held_bytes
from hashwacht_plugins.held_bytes import HeldBytes
from support.plugins.uploads import opened

ADDED = st.tuples(st.just("add"), st.sampled_from([0, 1, 5_000, 100_000, 300_000]))
TAKEN = st.tuples(st.just("take"), st.sampled_from([0, 1, 4096, 250_000, 400_000]))


@settings(max_examples=100, deadline=None)
@given(st.lists(ADDED | TAKEN, max_size=25), st.booleans())
def test_bytes_leave_in_the_order_in_which_they_came(
    steps: list[tuple[str, int]], spooled: bool
) -> None:
    held, came, left = HeldBytes(None, spooled=spooled), bytearray(), bytearray()
    for number, (step, amount) in enumerate(steps):
        if step == "add":
            piece = bytes([number]) * amount
            held.add(piece)
            came += piece
        else:
            left += held.take(amount)
            assert not left or held.size >= amount or len(left) + held.size == len(came)
        assert held.size == len(came) - len(left)
        assert not spooled or held.in_memory <= held_bytes.IN_MEMORY
    while piece := held.take(0):
        left += piece
    held.close()
    assert left == came


def test_the_tail_is_kept_in_memory_and_in_the_file() -> None:
    for amount in (1000, 100_000, 2_000_000):
        held = HeldBytes(None, spooled=True)
        for at in range(0, amount, 1000):
            held.add(bytes([at // 1000 % 256]) * 1000)
        while held.take(4096):
            assert held.size >= min(4096, amount)
        assert held.size < 4096 + 1000 + held_bytes.STEP
        held.close()


def test_the_file_has_no_name_and_ends_with_the_queue(tmp_path: Path) -> None:
    held = HeldBytes(str(tmp_path), spooled=True)
    held.add(b"x" * (held_bytes.IN_MEMORY + 1))
    assert list(tmp_path.iterdir()) == []
    assert [name for name in opened() if name.startswith(str(tmp_path))]
    held.close()
    assert not [name for name in opened() if name.startswith(str(tmp_path))]
    assert held.take(0) == b""


def test_no_room_is_an_error(tmp_path: Path) -> None:
    held = HeldBytes(str(tmp_path / "missing"), spooled=True)
    held.add(b"x" * held_bytes.IN_MEMORY)
    with pytest.raises(FileNotFoundError):
        held.add(b"x")
