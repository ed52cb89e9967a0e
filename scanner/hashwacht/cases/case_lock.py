"""One act at a time, whichever process wants it: the daemon and commands never race.

Who holds the turn may read a case, decide, act and record what was done, and nobody else does
meanwhile.  So a place that is found *pending* by who has the turn was left so by a crash.  The
kernel gives the turn back however its holder ends (flock(2)).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hashwacht.core.errors import StorageBusy
from hashwacht.platform.atomic import chown_like_directory
from hashwacht.platform.locks import FileLock
from hashwacht.storage.sqlite.state_directory import open_error

FILE_NAME = "casework.lock"
"""Its file, in the state directory."""

LOCK_TIMEOUT = 300.0
"""Seconds to wait for somebody else's act: sealing some gigabytes takes a minute."""


class CaseLock:
    """The turn of one state.  Thread-safe; not to be taken again by who has it."""

    def __init__(self, path: Path, timeout: float = LOCK_TIMEOUT) -> None:
        """Use the file *path*; wait so many seconds for others."""
        self._path, self._timeout = path, timeout

    @contextmanager
    def acquire(self) -> Iterator[None]:
        """Have the turn.  Raises StorageBusy if others keep it too long, StorageError."""
        lock = self._acquire()
        if lock is None:
            raise StorageBusy(
                f"another process has been acting on a file for {self._timeout:g} s",
                advice="Wait for it (`hashwacht status` shows the daemon), then try again.",
            )
        with lock:
            yield

    def _acquire(self) -> FileLock | None:
        try:
            lock = FileLock.acquire(self._path, timeout=self._timeout)
            if lock is not None:
                chown_like_directory(lock.fd, self._path)
        except OSError as error:
            raise open_error(error, self._path) from error
        return lock
