"""Finding a file or a directory that may have been renamed since its path was recorded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from hashwacht.platform.safe_open import OpenDirectory

_PATH_FLAGS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
"""Works for a file without any permissions (open(2))."""

_MISSING = (FileNotFoundError, NotADirectoryError)


def find_file(file: tuple[int, int], *paths: bytes) -> int | None:
    """Return a descriptor (O_PATH) of *file* (device, inode), None if it is not found.

    Looks at the absolute *paths*, then at every name in their directories.  Raises OSError if
    that is impossible.
    """
    for path in dict.fromkeys(paths):
        directory, _, name = path.rpartition(b"/")
        with (
            suppress(*_MISSING),
            OpenDirectory.at(directory or b"/", listable=False) as parent,
        ):
            if (fd := _open(parent, name, file)) is not None:
                return fd
    for directory in dict.fromkeys(path.rpartition(b"/")[0] for path in paths):
        if (fd := _search(directory or b"/", file)) is not None:
            return fd
    return None


def find_directory(path: bytes, directory: tuple[int, int]) -> OpenDirectory | None:
    """Return the *directory* (device, inode) that had the absolute *path*, to pass through only.

    It may have another name in the same parent now.  None if it is not found.  Raises OSError if
    that cannot be determined.
    """
    with suppress(*_MISSING):
        current = OpenDirectory.at(path or b"/", listable=False)
        if current.id == directory:
            return current
        current.close()
    fd = _search(path.rpartition(b"/")[0] or b"/", directory)
    return None if fd is None else OpenDirectory(fd)


def _search(directory: bytes, file: tuple[int, int]) -> int | None:
    """Look for the inode number among all names of a directory."""
    with (
        suppress(*_MISSING, PermissionError),
        OpenDirectory.at(directory) as parent,
    ):
        for name in _names_of_inode(parent, file[1]):
            if (fd := _open(parent, name, file)) is not None:
                return fd
    return None


def _names_of_inode(parent: OpenDirectory, ino: int) -> Iterator[bytes]:
    with os.scandir(parent.fd) as entries:
        for entry in entries:
            if entry.inode() == ino:
                yield os.fsencode(entry.name)


def _open(parent: OpenDirectory, name: bytes, file: tuple[int, int]) -> int | None:
    try:
        fd = os.open(name, _PATH_FLAGS, dir_fd=parent.fd)
    except FileNotFoundError:
        return None
    status = os.fstat(fd)
    if (status.st_dev, status.st_ino) == file:
        return fd
    os.close(fd)
    return None
