from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.casework import Office


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    opened = Office(tmp_path).open()
    yield opened
    opened.close()
