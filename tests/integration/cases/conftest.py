from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cases import CaseBench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[CaseBench]:
    opened = CaseBench(tmp_path).open()
    yield opened
    opened.close()
