from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.hooks.fake_scanner import LISTED, FakeScanner


@pytest.fixture
def scanner(tmp_path: Path) -> Iterator[FakeScanner]:
    with FakeScanner(tmp_path / "uploads.sock") as scanner:
        yield scanner


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    path = tmp_path / "listed upload.png"
    path.write_bytes(LISTED)
    return path


@pytest.fixture
def harmless(tmp_path: Path) -> Path:
    path = tmp_path / "harmless.png"
    path.write_bytes(b"\x89PNG harmless")
    return path
