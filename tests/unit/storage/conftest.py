"""An open database in a separate directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hashwacht.storage.sqlite.database import Database


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "state.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    opened = Database.open(path, busy_timeout=0.1)
    yield opened
    opened.close()
