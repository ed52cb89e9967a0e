from __future__ import annotations

import time
from pathlib import Path

import pytest

from support.scan_harness import ScanHarness


@pytest.fixture
def harness(tmp_path: Path) -> ScanHarness:
    return ScanHarness(tmp_path / "state")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the tree to scan, with a few files in it."""
    root = tmp_path / "storage"
    for name, content in {"a/one": b"one", "a/two": b"two", "b/c/three": b"three"}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    # A file changed a moment ago is not settled: the next scan would read it again.
    while time.time_ns() < path.stat().st_ctime_ns + 20_000_000:
        time.sleep(0.005)
    return root
