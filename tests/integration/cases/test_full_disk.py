"""A full disk: what cannot be recorded is not done, and is done when there is room again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hashwacht.core.errors import StorageFull
from hashwacht.core.types import Action
from support.casework import OBSERVE, Office, at
from support.memory_disk import memory_disk

MIB = 1 << 20


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Put the state on a file system of its own; skip where that is not allowed."""
    with memory_disk(tmp_path / "state", 12 * MIB):
        opened = Office(tmp_path).open()
        yield opened
        opened.close()


def fill(office: Office) -> Path:
    """Leave no room at all."""
    filler = office.home / "state" / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (MIB, 4096, 1):
            try:
                while file.write(b"\0" * size):
                    pass
            except OSError:
                continue
    return filler


def observed(office: Office, paths: list[bytes]) -> int:
    """Settle until it cannot be recorded; give how many could."""
    for number, path in enumerate(paths):
        try:
            office.settle(path, root=OBSERVE)
        except StorageFull:
            return number
    return len(paths)


def test_what_cannot_be_recorded_is_not_done(office: Office) -> None:
    paths = [office.file(f"{number}.png", b"content %d" % number) for number in range(40)]
    office.settle(paths[0])
    filler = fill(office)
    done = 1 + observed(office, paths[1:])
    assert done < len(paths), "the disk was full"
    assert at(paths[done]).exists()
    assert len(office.store.cases.load_latest(99)) == done, "the failed one left nothing behind"
    filler.unlink()
    for path in paths[1:]:
        assert office.settle(path) is Action.QUARANTINE
    assert not any(os.path.lexists(path) for path in paths)
    assert len(office.store.cases.load_latest(99)) == len(paths)
    assert office.audit.verify() is None
