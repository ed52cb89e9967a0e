"""Locks between processes (flock(2)): the kernel releases them however their holder ends."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Self

from hashwacht.platform import atomic

_POLL_INTERVAL = 0.01
"""Seconds between two attempts: flock(2) has no time limit of its own."""


def lock(fd: int, *, shared: bool = False, timeout: float | None = None) -> bool:
    """Lock an open file; return False if another holder keeps it for *timeout* seconds.

    None waits without limit, 0 does not wait.  The lock belongs to the open file and its
    duplicates: it ends with :func:`unlock` or when the last of them is closed.
    """
    operation = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    if timeout is None:
        fcntl.flock(fd, operation)
        return True
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(fd, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_INTERVAL)
        else:
            return True


def unlock(fd: int) -> None:
    """Release the lock of an open file."""
    fcntl.flock(fd, fcntl.LOCK_UN)


class FileLock:
    """A file that is open and locked; closing it releases the lock."""

    __slots__ = ("_closed", "fd", "path")

    def __init__(self, path: Path, fd: int) -> None:
        """Take over *fd*, which is locked."""
        self.path, self.fd, self._closed = path, fd, False

    @classmethod
    def acquire(
        cls, path: Path, *, shared: bool = False, create: bool = True, timeout: float | None = 0
    ) -> Self | None:
        """Lock the file *path*, which is created with mode 0600; None if that times out.

        Raises OSError: FileNotFoundError if there is no file and *create* is False.
        """
        flags = os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_RDONLY if shared else os.O_RDWR)
        while True:
            fd = os.open(path, flags | (os.O_CREAT if create else 0), 0o600)
            locked = False
            try:
                locked = lock(fd, shared=shared, timeout=timeout)
                if locked and os.fstat(fd).st_nlink:
                    return cls(path, fd)
                if not locked:
                    return None
                locked = False  # the former holder has removed the file in between
            finally:
                if not locked:
                    os.close(fd)

    def release(self) -> None:
        """Release the lock; the file stays.  Again: does nothing."""
        if not self._closed:
            self._closed = True
            os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class EntryLock(FileLock):
    """The lock of one vault entry, with a durable mark while its file is being moved."""

    __slots__ = ()

    def mark_pending(self) -> None:
        """Record, durably, that a file is about to be taken.  Raises OSError."""
        os.write(self.fd, b"taking\n")
        os.fsync(self.fd)

    @property
    def is_pending(self) -> bool:
        """True if a file was about to be taken: its original may still be in place."""
        return os.fstat(self.fd).st_size > 0

    def clear(self) -> None:
        """Remove the mark with its file: nothing is unfinished any more.  Raises OSError."""
        atomic.remove(self.path)
