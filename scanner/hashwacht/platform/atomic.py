"""Writing so that it is still there after a power cut, or not there at all."""

from __future__ import annotations

import os
from pathlib import Path

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


def write(path: Path, content: bytes) -> None:
    """Write beside the target, flush to disk, rename over it, flush the directory.

    Afterwards the file has *content*; if we are killed meanwhile, or this raises OSError, it has
    either that or what it had before.  Mode 0600.
    """
    new = _new(path)
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def remove_temporary(path: Path) -> None:
    """Remove what an interrupted writing of *path* has left beside it."""
    _new(path).unlink(missing_ok=True)


def _new(path: Path) -> Path:
    return path.with_name(path.name + ".new")


def remove(path: Path) -> None:
    """Remove a file for good; it may be gone already."""
    path.unlink(missing_ok=True)
    sync_directory(path.parent)


def make_directory(path: Path) -> None:
    """Make a directory, 0700, with all above it, and make their names durable; it may be there."""
    if path.is_dir():
        return
    make_directory(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    sync_directory(path.parent)


def sync_directory(path: Path | bytes) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, _READ | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_directory_fd(directory_fd: int) -> None:
    """Do the same for a directory held by a descriptor, which may be one only to pass through.

    A directory that we may search and write to but not list cannot be flushed: its names are
    then as durable as the file system makes them by itself.
    """
    try:
        fd = os.open(".", _READ | os.O_DIRECTORY, dir_fd=directory_fd)
    except PermissionError:
        return
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
