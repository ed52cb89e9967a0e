"""Finding a file or a directory again that may have got another name since."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from hashwacht.platform.safe_open import OpenDirectory

_PLACE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
"""Works for a file whose permissions are all taken away (open(2))."""


def find_file(file: tuple[int, int], *where: bytes) -> int | None:
    """Give a descriptor (O_PATH) of *file* (device, inode).

    It has one of the absolute paths *where*, or another name in the directory of one of them.
    None if it has not.  Raises OSError if that cannot be found out.
    """
    for path in dict.fromkeys(where):
        directory, _, name = path.rpartition(b"/")
        try:
            with OpenDirectory.at(directory or b"/", listable=False) as parent:
                if (fd := _open(parent, name, file)) is not None:
                    return fd
        except (FileNotFoundError, NotADirectoryError):
            continue
    for directory in dict.fromkeys(path.rpartition(b"/")[0] for path in where):
        if (fd := _search(directory or b"/", file)) is not None:
            return fd
    return None


def find_directory(path: bytes, wanted: tuple[int, int]) -> OpenDirectory | None:
    """Give the directory *wanted* (device, inode), that had the absolute *path*, to pass through.

    It has that path still, or another name beside it; None if it has not.  Raises OSError if
    that cannot be found out.
    """
    with suppress(FileNotFoundError, NotADirectoryError):
        found = OpenDirectory.at(path or b"/", listable=False)
        if found.id == wanted:
            return found
        found.close()
    above, _, _ = path.rpartition(b"/")
    with (
        suppress(FileNotFoundError, NotADirectoryError, PermissionError),
        OpenDirectory.at(above or b"/") as parent,
    ):
        for name in _with_number(parent, wanted[1]):
            if (fd := _open(parent, name, wanted)) is not None:
                return OpenDirectory(fd)
    return None


def _search(directory: bytes, file: tuple[int, int]) -> int | None:
    """Look for the inode number among all names of a directory."""
    try:
        with OpenDirectory.at(directory) as parent:
            for name in _with_number(parent, file[1]):
                if (fd := _open(parent, name, file)) is not None:
                    return fd
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    return None


def _with_number(parent: OpenDirectory, ino: int) -> Iterator[bytes]:
    with os.scandir(parent.fd) as entries:
        for entry in entries:
            if entry.inode() == ino:
                yield os.fsencode(entry.name)


def _open(parent: OpenDirectory, name: bytes, file: tuple[int, int]) -> int | None:
    try:
        fd = os.open(name, _PLACE, dir_fd=parent.fd)
    except FileNotFoundError:
        return None
    found = os.fstat(fd)
    if (found.st_dev, found.st_ino) == file:
        return fd
    os.close(fd)
    return None
