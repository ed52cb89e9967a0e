"""Files of the state belong to whom the state belongs to, whoever makes them."""

from __future__ import annotations

import os
from pathlib import Path


def as_directory(fd: int, path: Path) -> None:
    """Give a file to the owner of its directory, if we are root.

    A command that root types must not leave a file that the daemon's own user cannot write.
    SQLite does the same with its log (robustFchown in os_unix.c).  Raises OSError.
    """
    if os.geteuid() == 0:
        owner, found = path.parent.stat(), os.fstat(fd)
        if found.st_uid != owner.st_uid:
            os.fchown(fd, owner.st_uid, owner.st_gid)


def make_name_last(path: Path) -> None:
    """Have the name of a new file on the disk itself.  Raises OSError."""
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
