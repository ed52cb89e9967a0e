"""The state directory: SQLite's errors with what to do next, and the locks of scan and daemon.

One scan at a time works on a state, and one daemon besides it.
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from hashwacht.core.errors import StorageBusy, StorageError, StorageFull
from hashwacht.platform.locks import FileLock


@contextmanager
def translated_errors(path: Path) -> Iterator[None]:
    """Turn an sqlite3.Error inside into the StorageError, StorageFull or StorageBusy it means."""
    try:
        yield
    except sqlite3.Error as error:
        raise failure(error, path) from error


def failure(error: sqlite3.Error, path: Path) -> StorageError:
    """Choose by SQLite's result code (sqlite.org/rescode.html).

    A full disk is SQLITE_FULL; a file for shared memory that cannot grow is an I/O error of
    its own, with the same cause.
    """
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE):
        return _full(path)
    primary = code & 0xFF  # the lower byte of an extended code
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StorageBusy(
            f"another process holds the state {path}",
            advice="Wait for it to finish (`hashwacht scans` shows it), then try again.",
        )
    return StorageError(f"the state {path} cannot be used: {error}", advice=_advice(primary, path))


def open_error(error: OSError, path: Path) -> StorageError:
    """Say why a file of the state cannot be made or opened."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _full(path)
    return StorageError(
        f"the state {path} cannot be opened: {error.strerror}",
        advice=f"Make {path.parent} writable for the user that runs this, or choose another"
        " state directory.",
    )


def _full(path: Path) -> StorageFull:
    return StorageFull(
        f"no space left for the state in {path}",
        advice=f"Free space on the file system of {path.parent}, then start the same command"
        " again: it resumes.",
    )


def _advice(primary: int, path: Path) -> str:
    """One sentence for the faults that need a human."""
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return (
            f"Check the disk, then move {path} and its -wal file aside or restore them from a"
            " backup; a new scan rebuilds the state."
        )
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return f"Make {path.parent} and the files in it writable for the user that runs this."
    if primary == sqlite3.SQLITE_CANTOPEN:
        return (
            f"Make {path.parent} readable and writable for the user that runs this, and allow"
            " enough open files (`ulimit -n`)."
        )
    if primary == sqlite3.SQLITE_IOERR:
        return f"Look for disk errors, quotas and network trouble below {path.parent}."
    return "Run `hashwacht doctor`; if it finds nothing, report this as a bug."


RESERVE_BYTES = 4 * 1024 * 1024
"""Enough for thousands of small transactions in the write-ahead log (:class:`Reserve`)."""


SCAN_LOCK, DAEMON_LOCK = ".lock", ".daemon"
"""Roles: what the name of their lock ends in."""

_TIMEOUT = 0.2
"""Seconds: longer than :func:`lock_holder` holds the lock."""


@dataclass(frozen=True, slots=True)
class LockHolder:
    """Who holds the lock: the process, and the run once it has one."""

    pid: int | None
    run: int | None


class RunLock:
    """An exclusive lock on a file next to the database, which contains its holder.

    A forked child would keep it beyond the end of the process, so it closes its copy at once.
    """

    def __init__(self, lock: FileLock) -> None:
        self._lock = lock
        os.register_at_fork(after_in_child=self.release)

    @classmethod
    def acquire(cls, database: Path, role: str = SCAN_LOCK) -> Self:
        """Take the lock of the state in *database*, which is open, for one *role*.

        Raises StorageBusy, naming the holder; StorageError if the file cannot be made.
        """
        path = lock_path(database, role)
        try:
            file_lock = FileLock.acquire(path, timeout=_TIMEOUT)
        except OSError as error:
            raise open_error(error, path) from error
        if file_lock is None:
            raise _busy(path, _read(path))
        lock = cls(file_lock)
        lock.set_run(None)
        return lock

    def set_run(self, run: int | None) -> None:
        """Say which run holds the lock."""
        text = json.dumps({"pid": os.getpid(), "run": run}).encode()
        os.ftruncate(self._lock.fd, 0)
        os.pwrite(self._lock.fd, text, 0)

    def release(self) -> None:
        """Give the lock back.  The file stays: removing it would race with the next holder."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def lock_path(database: Path, role: str = SCAN_LOCK) -> Path:
    """Return the path of the lock that belongs to a database and a role."""
    return database.with_suffix(role)


def lock_holder(database: Path, role: str = SCAN_LOCK) -> LockHolder | None:
    """Return who holds a lock of the state in *database*, None if nobody does."""
    path = lock_path(database, role)
    try:
        lock = FileLock.acquire(path, shared=True, create=False)
    except FileNotFoundError:
        return None
    if lock is None:
        return _read(path)
    lock.release()
    return None


def _read(path: Path) -> LockHolder:
    """Read the holder's name; it may be just about to write it."""
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        return LockHolder(None, None)
    return LockHolder(found["pid"], found["run"])


def _busy(path: Path, found: LockHolder) -> StorageBusy:
    who = f"process {found.pid}" if found.pid else "another process"
    what = f" with run {found.run}" if found.run else ""
    return StorageBusy(
        f"{who}{what} is working on the state {path.parent}",
        advice="Wait for it or stop it (`hashwacht scans` and `hashwacht status` show it), then try"
        " again.",
    )
