"""SQLite's errors told as ours, each with what to do next."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hashwacht.core.errors import StateBusy, StateError, StateFull


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn an sqlite3.Error inside into the StateError, StateFull or StateBusy it means."""
    try:
        yield
    except sqlite3.Error as error:
        raise failure(error, path) from error


def failure(error: sqlite3.Error, path: Path) -> StateError:
    """Choose by SQLite's result code (sqlite.org/rescode.html).

    A full disk is SQLITE_FULL; a file for shared memory that cannot grow is an I/O error of
    its own, with the same cause.
    """
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE):
        return _full(path)
    primary = code & 0xFF  # the lower byte of an extended code
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StateBusy(
            f"another process holds the state {path}",
            advice="Wait for it to finish (`hashwacht scans` shows it), then try again.",
        )
    return StateError(f"the state {path} cannot be used: {error}", advice=_advice(primary, path))


def unopened(error: OSError, path: Path) -> StateError:
    """Say why a file of the state cannot be made or opened."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _full(path)
    return StateError(
        f"the state {path} cannot be opened: {error.strerror}",
        advice=f"Make {path.parent} writable for the user that runs this, or choose another"
        " state directory.",
    )


def _full(path: Path) -> StateFull:
    return StateFull(
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
