from __future__ import annotations

from pathlib import Path

import pytest

from hashwacht.testing.bench import ScanBench


@pytest.fixture
def bench(tmp_path: Path) -> ScanBench:
    return ScanBench(tmp_path / "state")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give the tree to be scanned, with a few files in it."""
    root = tmp_path / "storage"
    for name, content in {"a/one": b"one", "a/two": b"two", "b/c/three": b"three"}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root
