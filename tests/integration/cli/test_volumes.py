"""Scans of file systems that are mounted again with other, or each other's, device numbers."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.program import Program

pytestmark = pytest.mark.alone

KNOWN, OTHER = b"known content", b"other content"


@pytest.fixture(autouse=True)
def _root_only() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: mounts file systems")


def run(*command: str | Path) -> bytes:
    return subprocess.run(command, check=True, capture_output=True).stdout


@contextmanager
def mounted(image: Path, point: Path) -> Iterator[int]:
    """Mount *image* through a loop device and yield the device number of its files."""
    point.mkdir(exist_ok=True)
    try:
        run("mount", "-o", "loop", image, point)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"cannot mount: {error.stderr.decode()}")
    try:
        yield (point / "directory/file").stat().st_dev if (point / "directory").exists() else 0
    finally:
        run("umount", point)


def make_image(path: Path, kind: str) -> Path:
    """Make a file system with one file; on Btrfs it is in a subvolume."""
    with path.open("wb") as file:
        file.truncate(120 << 20)
    run(f"mkfs.{kind}", "-q", path)
    with mounted(path, path.with_suffix(".point")):
        directory = path.with_suffix(".point") / "directory"
        if kind == "btrfs":
            run("btrfs", "subvolume", "create", directory)
        else:
            directory.mkdir()
        (directory / "file").write_bytes(OTHER)
    return path


def scan(program: Program, root: Path) -> tuple[int, int]:
    """Return the exit code and the number of files that were read."""
    code, objects = program.scan(root)
    return code, objects[-1]["counts"]["read"]


@pytest.fixture
def listed(program: Program) -> Program:
    digest = hashlib.sha256(KNOWN).hexdigest()
    result = program.run("lists", "import", "known", "-", given=f"sha256 {digest}\n".encode())
    assert result.returncode == 0, result.stderr
    return program


@pytest.mark.parametrize("kind", ["ext4", "btrfs"])
def test_a_new_device_number_alone_causes_no_reading(
    listed: Program, tmp_path: Path, kind: str
) -> None:
    image, root = make_image(tmp_path / "image", kind), tmp_path / "root"
    with mounted(image, root) as first:
        assert scan(listed, root) == (0, 1)
    decoy = make_image(tmp_path / "decoy", kind)
    with mounted(decoy, tmp_path / "elsewhere"), mounted(image, root) as second:
        assert first != second
        assert scan(listed, root) == (0, 0)


def test_a_reused_device_number_proves_nothing(listed: Program, tmp_path: Path) -> None:
    """Another file system has the same device, inode, size and times, and other bytes."""
    image, root = make_image(tmp_path / "image", "ext4"), tmp_path / "root"
    with mounted(image, root) as first:
        assert scan(listed, root) == (0, 1)
    image.write_bytes(image.read_bytes().replace(OTHER, KNOWN))
    run("tune2fs", "-U", "random", image)
    with mounted(image, root) as second:
        assert first == second
        assert scan(listed, root) == (1, 1)
