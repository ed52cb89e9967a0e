"""One look at an announced file: open it safely, see if it has come to rest, read what is new.

The descriptor that was read stays open until everything that follows from it is done: only it is
what the verdict is about (Law 8).

What became of a look at an entry of the journal, told by the readers to the clerks.

If a file has come to rest: who is still writing to it will be read too early.

The kernel knows if a file is open for writing: a read lease is granted only if it is not
(fcntl(2), F_SETLEASE).  It is taken back at once, so that no writer waits for us.  Where no lease
is to be had (a file of somebody else without CAP_LEASE, some file systems), and for a file that
its writer never closes, the time of its last change decides: the kernel sets it, nobody else can.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import signal
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass

from hashwacht.core.errors import HashwachtError
from hashwacht.core.types import FileId, Fingerprint, Reason
from hashwacht.pipeline import Pipeline
from hashwacht.platform.backoff import Backoff
from hashwacht.platform.safe_open import FileChanged, OpenDirectory
from hashwacht.scan.freshness import Freshness
from hashwacht.scan.reader import read_stable
from hashwacht.settings import DaemonSettings
from hashwacht.storage.files import KnownFile
from hashwacht.storage.journal import JournalEntry
from hashwacht.storage.store import Store


@dataclass(frozen=True, slots=True)
class ReadTask:
    """An entry to be looked at, and what the state knows of its path."""

    entry: JournalEntry
    root: str
    known: KnownFile | None

    @property
    def split(self) -> tuple[bytes, bytes]:
        """Directory and name."""
        return os.path.split(self.entry.path)


@dataclass(frozen=True, slots=True)
class ContentRead:
    """A content was fingerprinted, or found unchanged: then *content* is its number.

    *fd* is open on exactly these bytes; whoever takes the look over closes it.  *kept*: the
    state has this name with this FileId already.
    """

    task: ReadTask
    fd: int
    id: FileId
    nlink: int
    fingerprint: Fingerprint | None = None
    content: int | None = None
    kept: bool = False


@dataclass(frozen=True, slots=True)
class ReadFailed:
    """The file is there and could not be read, or not twice the same.

    *again* is when (Unix time) to try once more; None: a walk will come by.
    """

    task: ReadTask
    id: FileId
    nlink: int
    reason: Reason
    detail: str
    again: float | None = None


@dataclass(frozen=True, slots=True)
class FileGone:
    """There is no such file, or none that is to be looked at."""

    task: ReadTask


@dataclass(frozen=True, slots=True)
class ReadPostponed:
    """It has not come to rest, or we had a problem of our own: look again at *due*."""

    task: ReadTask
    due: float


ReadOutcome = ContentRead | ReadFailed | FileGone | ReadPostponed


OPEN_TIMES = 10
"""How many times longer a file must rest that somebody keeps open: he may go on any time."""


def backoff_delay(quiet: float, busy: float, attempts: int) -> float:
    """Say how many seconds to wait before the next look at what was looked at so often."""
    return Backoff(quiet, busy).delay(attempts + 1)


def has_writer(fd: int) -> bool | None:
    """Say if somebody has this file open for writing; None if the kernel will not say."""
    try:
        # A writer who comes while the lease is held makes the kernel send this signal, which is
        # ignored unless somebody asks for it; the usual one, SIGIO, would end the process.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    except OSError:
        return None
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def time_to_settle(fd: int, *, closed: bool, quiet: float, now: float) -> float:
    """Say in how many seconds the open file may be read if nothing happens; 0: now.

    *closed*: its writer has said so.  *quiet* is for how many seconds it must not have changed
    if nobody can say that it is closed, and OPEN_TIMES as long if somebody has it open to write.
    A change in the future, by a clock that was set back, does not count.
    """
    writer = has_writer(fd)
    if writer is False or (writer is None and closed):
        return 0.0
    needed = OPEN_TIMES * quiet if writer else quiet
    age = now - os.fstat(fd).st_ctime
    return 0.0 if age >= needed or age < -needed else needed - age


_log = logging.getLogger(__name__)

OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN})
"""Errors that say nothing of the file: we lack something just now."""

GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ENAMETOOLONG})
"""The path leads to no file any more, or only over a link."""

PASSING = frozenset({errno.EIO, errno.ETIMEDOUT, errno.ESTALE})
"""A disk, a server or a worker that failed; it may go better the next time."""

TRIES = 8
"""So often it is tried again, for a minute in all; then a walk will come by."""

WAITS = 12
"""So often a file is waited for that does not come to rest, for minutes in all.  Then it is read as
it is: nobody can keep a file from being looked at by writing to it for ever."""

NOWHERE = FileId(0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class ReadContext:
    """With what a file is read, as it is configured now."""

    pipeline: Pipeline
    wanted: Freshness


class FileReader:
    """Looks at files.  Thread-safe: any number of threads may call at once."""

    def __init__(
        self,
        store: Store,
        settings: Callable[[], DaemonSettings],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """*clock* gives Unix time."""
        self._store, self._settings, self._clock = store, settings, clock

    def read(self, task: ReadTask, means: ReadContext) -> ReadOutcome:
        """Take one look.  Never raises for anything that the file or its owner could cause."""
        try:
            fd = self._open(task)
        except FileChanged:
            return self._later(task)
        except OSError as error:
            return self._refused(task, error)
        if fd is None:
            return FileGone(task)
        look: ReadOutcome | None = None
        try:
            look = self._read(task, fd, means)
        except HashwachtError as error:  # no worker, no state: that passes
            _log.warning("a file could not be read now: %s", error.message)
            look = self._later(task)
        finally:
            if not isinstance(look, ContentRead):
                os.close(fd)
        return look

    @staticmethod
    def _open(task: ReadTask) -> int | None:
        """Open it without following a link anywhere; None if it is no regular file."""
        parent, name = task.split
        with OpenDirectory.at(parent, listable=False) as directory:
            found = os.stat(name, dir_fd=directory.fd, follow_symlinks=False)
            if not stat.S_ISREG(found.st_mode):
                return None
            return directory.file(name, (found.st_dev, found.st_ino))

    def _read(self, task: ReadTask, fd: int, means: ReadContext) -> ReadOutcome:
        now, quiet, patient = (
            self._clock(),
            self._settings().settle_time,
            task.entry.attempts < WAITS,
        )
        remaining = time_to_settle(fd, closed=task.entry.closed, quiet=quiet, now=now)
        if patient and remaining > 0:
            return ReadPostponed(task, max(now + remaining, self._later(task).due))
        found = os.fstat(fd)
        at, nlink = FileId.from_stat(found), found.st_nlink
        if task.known and means.wanted.is_reusable(task.known, at):
            return ContentRead(task, fd, at, nlink, content=task.known.content, kept=True)
        if nlink > 1 and (content := self._linked(at, means.wanted)) is not None:
            return ContentRead(task, fd, at, nlink, content=content)
        try:
            at, fingerprint = read_stable(fd, means.pipeline.fingerprint)
        except FileChanged as error:
            again = self._later(task).due if patient else None
            return ReadFailed(task, at, nlink, Reason.CHANGED, error.message, again)
        except OSError as error:
            return self._refused(task, error, at)
        return ContentRead(task, fd, at, nlink, fingerprint)

    def _linked(self, file: FileId, wanted: Freshness) -> int | None:
        """Find the content under another name of the same file, which costs no read."""
        other = self._store.files.load_by_inode(file.dev, file.ino)
        return other.content if other and wanted.is_reusable(other, file) else None

    def _refused(self, task: ReadTask, error: OSError, at: FileId = NOWHERE) -> ReadOutcome:
        if error.errno in GONE:
            return FileGone(task)
        if error.errno in OURS:
            return self._later(task)
        passes = error.errno in PASSING and task.entry.attempts < TRIES
        again = self._later(task).due if passes else None
        return ReadFailed(task, at, 1, Reason.UNREADABLE, error.strerror or str(error), again)

    def _later(self, task: ReadTask) -> ReadPostponed:
        settings = self._settings()
        wait = backoff_delay(settings.settle_time, settings.max_settle_time, task.entry.attempts)
        return ReadPostponed(task, self._clock() + wait)
