"""Atomic writes: the old content or the new one, the right mode, and nothing left behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hashwacht.platform import atomic


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_file_gets_its_content_and_mode_whatever_the_umask(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    former = os.umask(0o077)
    try:
        atomic.write(path, b"new", mode=mode)
    finally:
        os.umask(former)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", mode)
    assert os.listdir(tmp_path) == ["file"]  # noqa: PTH208  # names only


def test_a_failed_write_keeps_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        atomic.write(path, b"new", prepare=fail)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_symlink_in_place_of_the_temporary_file_is_refused(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "file"
    victim.write_bytes(b"precious")
    (tmp_path / "file.new").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic link"):
        atomic.write(path, b"new")
    assert victim.read_bytes() == b"precious"


def test_a_write_relative_to_a_directory_descriptor(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        atomic.write(Path("file"), b"new", temporary="file.partial", dir_fd=fd)
    finally:
        os.close(fd)
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_directory_behind_a_symlink_is_flushed(tmp_path: Path) -> None:
    """/var/lib/hashwacht is one with DynamicUser=."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    atomic.write(tmp_path / "link" / "file", b"new")
    assert (tmp_path / "real" / "file").read_bytes() == b"new"
