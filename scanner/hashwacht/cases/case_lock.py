"""One act at a time, whichever process wants it: the daemon and commands never race.

Who holds the turn may read a case, decide, act and record what was done, and nobody else does
meanwhile.  So a place that is found *pending* by who has the turn was left so by a crash.  The
kernel gives the turn back however its holder ends (flock(2)).
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hashwacht.core.errors import StorageBusy
from hashwacht.storage.sqlite.state_directory import chown_like_directory, open_error

FILE_NAME = "casework.lock"
"""Its file, in the state directory."""

LOCK_TIMEOUT = 300.0
"""Seconds to wait for somebody else's act: sealing some gigabytes takes a minute."""

_PAUSE = 0.01


class CaseLock:
    """The turn of one state.  Thread-safe; not to be taken again by who has it."""

    def __init__(self, path: Path, timeout: float = LOCK_TIMEOUT) -> None:
        """Use the file *path*; wait so many seconds for others."""
        self._path, self._patience = path, timeout

    @contextmanager
    def acquire(self) -> Iterator[None]:
        """Have the turn.  Raises StorageBusy if others keep it too long, StorageError."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(self._path, flags, 0o600)
        except OSError as error:
            raise open_error(error, self._path) from error
        try:
            self._give_away(fd)
            self._wait(fd)
            yield
        finally:
            os.close(fd)

    def _give_away(self, fd: int) -> None:
        try:
            chown_like_directory(fd, self._path)
        except OSError as error:
            raise open_error(error, self._path) from error

    def _wait(self, fd: int) -> None:
        until = time.monotonic() + self._patience
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise StorageBusy(
                        "another process has been acting on a file for long",
                        advice="Wait for it (`hashwacht status` shows the daemon), then try again.",
                    ) from None
                time.sleep(_PAUSE)
            else:
                return
