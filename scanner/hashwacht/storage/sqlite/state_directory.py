"""One scan at a time per state, and one daemon beside it, by locks that die with their process.

SQLite's errors told as ours, each with what to do next.

Files of the state belong to whom the state belongs to, whoever makes them.

A little space kept back, so that a full disk can still be recorded.

On a full disk SQLite can neither delete nor checkpoint (both write first), so nothing inside
the database can make room for the note that the run was interrupted.  Deleting a file can.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from hashwacht.core.errors import StorageBusy, StorageError, StorageFull


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


def chown_like_directory(fd: int, path: Path) -> None:
    """Give a file to the owner of its directory, if we are root.

    A command that root types must not leave a file that the daemon's own user cannot write.
    SQLite does the same with its log (robustFchown in os_unix.c).  Raises OSError.
    """
    if os.geteuid() == 0:
        owner, found = path.parent.stat(), os.fstat(fd)
        if found.st_uid != owner.st_uid:
            os.fchown(fd, owner.st_uid, owner.st_gid)


def fsync_directory(path: Path) -> None:
    """Have the name of a new file on the disk itself.  Raises OSError."""
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


RESERVE_BYTES = 4 * 1024 * 1024
"""Enough for thousands of small transactions in the write-ahead log."""


@dataclass(frozen=True, slots=True)
class Reserve:
    """The file that holds the space; *path* lies on the file system of the database."""

    path: Path
    size: int = RESERVE_BYTES

    def fill(self) -> bool:
        """Hold the space; False if there is none to hold.  Does nothing if it is held."""
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return False
        try:
            if os.fstat(descriptor).st_blocks * 512 < self.size:
                os.posix_fallocate(descriptor, 0, self.size)
        except OSError:
            self.release()
            return False
        finally:
            os.close(descriptor)
        return True

    def release(self) -> bool:
        """Give the space back to the file system; False if none was held."""
        try:
            self.path.unlink()
        except OSError:
            return False
        return True


SCAN_LOCK, DAEMON_LOCK = ".lock", ".daemon"
"""Roles: what the name of their lock ends in."""

_ATTEMPTS, _PAUSE_SECONDS = 10, 0.02
"""Somebody who only looks who holds the lock takes it for an instant; that is waited out."""


@dataclass(frozen=True, slots=True)
class LockHolder:
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
    def acquire(cls, database: Path, role: str = SCAN_LOCK) -> Self:
        """Take the lock of the state in *database*, which is open, for one *role*.

        Raises StorageBusy, naming the holder; StorageError if the file cannot be made.
        """
        path = lock_path(database, role)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise open_error(error, path) from error
        for _ in range(_ATTEMPTS):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_PAUSE_SECONDS)
            else:
                lock = cls(path, descriptor)
                lock.set_run(None)
                return lock
        os.close(descriptor)
        raise _busy(path, _read(path))

    def set_run(self, run: int | None) -> None:
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


def lock_path(database: Path, role: str = SCAN_LOCK) -> Path:
    """Return the path of the lock that belongs to a database and a role."""
    return database.with_suffix(role)


def lock_holder(database: Path, role: str = SCAN_LOCK) -> LockHolder | None:
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
