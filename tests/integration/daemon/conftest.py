from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hashwacht.settings import RootSettings
from support.daemon.daemon_harness import DaemonHarness


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return an empty directory to watch."""
    path = tmp_path / "storage"
    path.mkdir()
    return path


@pytest.fixture
def harness(tmp_path: Path, root: Path) -> Iterator[DaemonHarness]:
    harness = DaemonHarness(tmp_path / "state", (RootSettings("uploads", root),))
    yield harness
    harness.close()
