"""The reserve: allocated blocks that are held while the storage is open and freed on demand."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from hashwacht.platform.atomic import Reserve
from hashwacht.storage.sqlite.database import Database
from hashwacht.storage.sqlite.state_directory import RESERVE_BYTES


def test_the_reserve_occupies_its_space(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "reserve", RESERVE_BYTES)
    assert reserve.fill()
    assert reserve.path.stat().st_blocks * 512 >= RESERVE_BYTES
    assert reserve.fill(), "filled once is filled"
    assert reserve.release()
    assert not reserve.path.exists()
    assert not reserve.release()


def test_opening_the_database_refills_a_released_reserve(path: Path) -> None:
    with closing(Database.open(path)) as database:
        assert database.reserve.release()
    with closing(Database.open(path)) as database:
        assert database.reserve.path.stat().st_size == RESERVE_BYTES


def test_without_space_there_is_no_reserve(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "reserve", size=2**62)
    assert not reserve.fill()
    assert not reserve.path.exists()
