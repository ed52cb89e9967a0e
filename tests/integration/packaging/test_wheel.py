"""The wheel is identical to the byte, wherever and whenever it is built."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
PARTS = ("scanner", "plugins", "config", "pyproject.toml", "README.md", "LICENSE")


def built(copy: Path, mode: int, epoch: str) -> str:
    """Build a copy of the source elsewhere, with other times and modes; return the digest."""
    copy.mkdir()
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, copy / name, copy_function=shutil.copyfile, ignore=ignored)
        elif source.exists():
            shutil.copyfile(source, copy / name)
    for path in copy.rglob("*.py"):
        path.chmod(mode)
        os.utime(path, (mode, mode))
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "out"],
        cwd=copy,
        env={**os.environ, "SOURCE_DATE_EPOCH": epoch},
        check=True,
        capture_output=True,
    )
    (wheel,) = (copy / "out").glob("*.whl")
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def test_two_builds_give_the_same_bytes(tmp_path: Path) -> None:
    first = built(tmp_path / "one", 0o600, "1700000000")
    assert first == built(tmp_path / "another", 0o644, "1700000000")
    assert first != built(tmp_path / "later", 0o644, "1800000000")  # the comparison can fail
