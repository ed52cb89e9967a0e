from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cases import CaseHarness


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[CaseHarness]:
    opened = CaseHarness(tmp_path).open()
    yield opened
    opened.close()
