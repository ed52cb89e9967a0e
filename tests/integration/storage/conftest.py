"""A small file system that a test can fill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.memory_disk import memory_disk

MIB = 1024 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount 12 MiB of memory; skip where that is not permitted."""
    with memory_disk(tmp_path / "small", 12 * MIB) as place:
        yield place
