"""The right of one process to change one entry, and the mark that it has begun to."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Self

from hashwacht.platform import atomic

_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


class EntryLock:
    """A locked file.  Leaving it gives up the lock; only :meth:`settle` removes the mark."""

    __slots__ = ("_fd", "_path")

    def __init__(self, path: Path, fd: int) -> None:
        """Take over *fd*, which is locked."""
        self._path, self._fd = path, fd

    @classmethod
    def acquire(cls, path: Path, *, make: bool = True, wait: bool = False) -> EntryLock | None:
        """Lock the file *path*, making it; None if another holds it and we do not *wait*.

        Raises OSError; FileNotFoundError if it is not there and not to be made.
        """
        how = fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB
        while True:
            fd = os.open(path, _FLAGS | (os.O_CREAT if make else 0), 0o600)
            try:
                fcntl.flock(fd, how)
            except BlockingIOError:
                os.close(fd)
                return None
            if os.fstat(fd).st_nlink:
                return cls(path, fd)
            os.close(fd)  # its holder had settled it between our two calls

    def mark_pending(self) -> None:
        """Note, durable, that a file is about to be taken with it.  Raises OSError."""
        os.write(self._fd, b"taking\n")
        os.fsync(self._fd)

    @property
    def is_pending(self) -> bool:
        """True if a file was about to be taken, so that its original may still be there."""
        return os.fstat(self._fd).st_size > 0

    def clear(self) -> None:
        """Say that nothing is half done any more.  Raises OSError."""
        atomic.remove(self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
