"""The state directory: errors of the database with advice, and the locks of scans and the daemon.

One scan and one daemon at a time may use a state directory.
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
    """Raise an sqlite3.Error inside as StorageError, StorageFull or StorageBusy."""
    try:
        yield
    except sqlite3.Error as error:
        raise failure(error, path) from error


def failure(error: sqlite3.Error, path: Path) -> StorageError:
    """Return the error for SQLite's result code (sqlite.org/rescode.html).

    A full disk is SQLITE_FULL, or a separate I/O error if the file for shared memory cannot grow.
    """
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE):
        return _full(path)
    primary = code & 0xFF  # the lower byte of an extended code
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StorageBusy(
            f"another process is using the database {path}",
            advice="Wait for it to finish (`hashwacht scans` shows it), then try again.",
        )
    return StorageError(f"cannot use the database {path}: {error}", advice=_advice(primary, path))


def open_error(error: OSError, path: Path) -> StorageError:
    """Return the error for a file that cannot be created or opened."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _full(path)
    return StorageError(
        f"cannot open {path}: {error.strerror}",
        advice=f"Make {path.parent} writable for the user that runs Hashwacht, or choose another"
        " state directory.",
    )


def _full(path: Path) -> StorageFull:
    return StorageFull(
        f"no space left on the file system of {path}",
        advice=f"Free space in {path.parent}, then run the same command again: it resumes.",
    )


def _advice(primary: int, path: Path) -> str:
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return (
            f"Check the disk, then move {path} and its -wal file aside or restore them from a"
            " backup; a new scan rebuilds it."
        )
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return f"Make {path.parent} and the files in it writable for the user that runs Hashwacht."
    if primary == sqlite3.SQLITE_CANTOPEN:
        return (
            f"Make {path.parent} readable and writable for the user that runs Hashwacht, and allow"
            " more open files (`ulimit -n`)."
        )
    if primary == sqlite3.SQLITE_IOERR:
        return f"Check {path.parent} for disk errors, quotas and network problems."
    return "Run `hashwacht doctor`; if it finds no problem, report this as a bug."


RESERVE_BYTES = 4 * 1024 * 1024
"""Enough for thousands of small transactions in the write-ahead log (:class:`Reserve`)."""


SCAN_LOCK, DAEMON_LOCK = ".lock", ".daemon"
"""The roles of locks, which are the suffixes of their files."""

_TIMEOUT = 0.2
"""Seconds: longer than :func:`lock_holder` holds the lock."""


@dataclass(frozen=True, slots=True)
class LockHolder:
    """The process that holds a lock, and its run once it has one."""

    pid: int | None
    run: int | None


class RunLock:
    """An exclusive lock on a file next to the database that names its holder.

    A forked child closes its copy at once, or the lock would outlast the process.
    """

    def __init__(self, lock: FileLock) -> None:
        self._lock = lock
        os.register_at_fork(after_in_child=self.release)

    @classmethod
    def acquire(cls, database: Path, role: str = SCAN_LOCK) -> Self:
        """Lock the state directory of an open *database* for one *role*.

        Raises StorageBusy, naming the holder; StorageError if the file cannot be created.
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
        """Write the number of the run that holds the lock."""
        text = json.dumps({"pid": os.getpid(), "run": run}).encode()
        os.ftruncate(self._lock.fd, 0)
        os.pwrite(self._lock.fd, text, 0)

    def release(self) -> None:
        """Release the lock.  The file stays: removing it would race with the next holder."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def lock_path(database: Path, role: str = SCAN_LOCK) -> Path:
    """Return the path of the lock of a database for a role."""
    return database.with_suffix(role)


def lock_holder(database: Path, role: str = SCAN_LOCK) -> LockHolder | None:
    """Return the holder of the lock of a *database* for a role; None if it is not locked."""
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
    """Read the holder, which may not have been written yet."""
    try:
        fields = json.loads(path.read_bytes())
    except ValueError:
        return LockHolder(None, None)
    return LockHolder(fields["pid"], fields["run"])


def _busy(path: Path, holder: LockHolder) -> StorageBusy:
    process = f"process {holder.pid}" if holder.pid else "another process"
    run = f" (run {holder.run})" if holder.run else ""
    return StorageBusy(
        f"{process}{run} is using the state directory {path.parent}",
        advice="Wait until it has finished or stop it (`hashwacht scans` and `hashwacht status`"
        " show it), then try again.",
    )
