"""On a full disk an action that cannot be recorded is not done, but done once there is space."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hashwacht.core.errors import StorageFull
from hashwacht.core.types import Action
from support.cases import OBSERVE, CaseHarness, at
from support.memory_disk import memory_disk

MIB = 1 << 20


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[CaseHarness]:
    """Put the state on a separate file system; skip where that is not permitted."""
    with memory_disk(tmp_path / "state", 12 * MIB):
        opened = CaseHarness(tmp_path).open()
        yield opened
        opened.close()


def fill(harness: CaseHarness) -> Path:
    """Fill the file system completely."""
    filler = harness.home / "state" / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (MIB, 4096, 1):
            try:
                while file.write(b"\0" * size):
                    pass
            except OSError:
                continue
    return filler


def observed(harness: CaseHarness, paths: list[bytes]) -> int:
    """Apply verdicts until one cannot be recorded; return the number that could."""
    for number, path in enumerate(paths):
        try:
            harness.apply(path, root=OBSERVE)
        except StorageFull:
            return number
    return len(paths)


def test_what_cannot_be_recorded_is_not_done(harness: CaseHarness) -> None:
    paths = [harness.file(f"{number}.png", b"content %d" % number) for number in range(40)]
    harness.apply(paths[0])
    filler = fill(harness)
    files = 1 + observed(harness, paths[1:])
    assert files < len(paths), "the disk was full"
    assert at(paths[files]).exists()
    assert len(harness.store.cases.load_latest(99)) == files, (
        "the failed action left nothing behind"
    )
    filler.unlink()
    for path in paths[1:]:
        assert harness.apply(path) is Action.QUARANTINE
    assert not any(os.path.lexists(path) for path in paths)
    assert len(harness.store.cases.load_latest(99)) == len(paths)
    assert harness.audit.verify() is None
