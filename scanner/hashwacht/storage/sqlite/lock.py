"""One scan at a time per state, and one daemon beside it, by locks that die with their process."""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from hashwacht.core.errors import StateBusy
from hashwacht.storage.sqlite.failures import unopened

SCAN, DAEMON = ".lock", ".daemon"
"""Roles: what the name of their lock ends in."""

_ATTEMPTS, _PAUSE_SECONDS = 10, 0.02
"""Somebody who only looks who holds the lock takes it for an instant; that is waited out."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the lock: the process, and the run once it has one."""

    pid: int | None
    run: int | None


class RunLock:
    """An exclusive flock(2) on a file next to the database, with its holder's name inside.

    The kernel gives it back however the process ends.  A forked child would keep it alive
    beyond that, so it drops its copy at once.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor: int | None = descriptor
        os.register_at_fork(after_in_child=self.release)

    @classmethod
    def acquire(cls, database: Path, role: str = SCAN) -> Self:
        """Take the lock of the state in *database*, which is open, for one *role*.

        Raises StateBusy, naming the holder; StateError if the file cannot be made.
        """
        path = lock_path(database, role)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise unopened(error, path) from error
        for _ in range(_ATTEMPTS):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_PAUSE_SECONDS)
            else:
                lock = cls(path, descriptor)
                lock.name(None)
                return lock
        os.close(descriptor)
        raise _busy(path, _read(path))

    def name(self, run: int | None) -> None:
        """Say which run holds the lock."""
        assert self._descriptor is not None, "the lock was released"
        text = json.dumps({"pid": os.getpid(), "run": run}).encode()
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text, 0)

    def release(self) -> None:
        """Give the lock back.  The file stays: removing it would race with the next holder."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def lock_path(database: Path, role: str = SCAN) -> Path:
    """Return the path of the lock that belongs to a database and a role."""
    return database.with_suffix(role)


def holder(database: Path, role: str = SCAN) -> Holder | None:
    """Return who holds a lock of the state in *database*, None if nobody does."""
    path = lock_path(database, role)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(path)
    finally:
        os.close(descriptor)
    return None


def _read(path: Path) -> Holder:
    """Read the holder's name; it may be just about to write it."""
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        return Holder(None, None)
    return Holder(found["pid"], found["run"])


def _busy(path: Path, found: Holder) -> StateBusy:
    who = f"process {found.pid}" if found.pid else "another process"
    what = f" with run {found.run}" if found.run else ""
    return StateBusy(
        f"{who}{what} is working on the state {path.parent}",
        advice="Wait for it or stop it (`hashwacht scans` and `hashwacht status` show it), then try"
        " again.",
    )
