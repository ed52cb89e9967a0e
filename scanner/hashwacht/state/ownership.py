"""Files of the state belong to whom the state belongs to, whoever makes them."""

from __future__ import annotations

import os
from pathlib import Path


def as_directory(fd: int, path: Path) -> None:
    """Give a new file to the owner of its directory, and make its name last.

    A command that root types must not leave a file that the daemon's own user cannot write.
    SQLite does the same with its log (unixOpen in os_unix.c).  Raises OSError.
    """
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        owner = os.fstat(directory)
        if os.geteuid() == 0 and owner.st_uid != 0:
            os.fchown(fd, owner.st_uid, owner.st_gid)
        os.fsync(directory)
    finally:
        os.close(directory)
