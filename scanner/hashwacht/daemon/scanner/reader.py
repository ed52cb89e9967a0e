"""One look at an announced file: open it safely, see if it has come to rest, read what is new.

The descriptor that was read stays open until everything that follows from it is done: only it is
what the verdict is about (Law 8).
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass

from hashwacht.daemon.scanner.looks import Gone, Later, Look, Seen, Task, Unread
from hashwacht.daemon.scanner.rest import left, pause
from hashwacht.core.errors import HashwachtError
from hashwacht.platform.safe_open import Changed, OpenDirectory
from hashwacht.pipeline import Pipeline
from hashwacht.scan.taken import taken
from hashwacht.scan.freshness import Wanted
from hashwacht.settings import DaemonSettings
from hashwacht.storage.store import Store
from hashwacht.core.types import FileId, Reason

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
class Means:
    """With what a file is read, as it is configured now."""

    pipeline: Pipeline
    wanted: Wanted


class Reader:
    """Looks at files.  Thread-safe: any number of threads may call at once."""

    def __init__(
        self,
        store: Store,
        settings: Callable[[], DaemonSettings],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """*clock* gives Unix time."""
        self._store, self._settings, self._clock = store, settings, clock

    def look(self, task: Task, means: Means) -> Look:
        """Take one look.  Never raises for anything that the file or its owner could cause."""
        try:
            fd = self._open(task)
        except Changed:
            return self._later(task)
        except OSError as error:
            return self._refused(task, error)
        if fd is None:
            return Gone(task)
        look: Look | None = None
        try:
            look = self._read(task, fd, means)
        except HashwachtError as error:  # no worker, no state: that passes
            _log.warning("a file could not be read now: %s", error.message)
            look = self._later(task)
        finally:
            if not isinstance(look, Seen):
                os.close(fd)
        return look

    @staticmethod
    def _open(task: Task) -> int | None:
        """Open it without following a link anywhere; None if it is no regular file."""
        parent, name = task.split
        with OpenDirectory.at(parent, to_list=False) as directory:
            found = os.stat(name, dir_fd=directory.fd, follow_symlinks=False)
            if not stat.S_ISREG(found.st_mode):
                return None
            return directory.file(name, (found.st_dev, found.st_ino))

    def _read(self, task: Task, fd: int, means: Means) -> Look:
        now, quiet, patient = self._clock(), self._settings().quiet, task.entry.attempts < WAITS
        remaining = left(fd, closed=task.entry.closed, quiet=quiet, now=now)
        if patient and remaining > 0:
            return Later(task, max(now + remaining, self._later(task).due))
        found = os.fstat(fd)
        at, nlink = FileId.of(found), found.st_nlink
        if task.known and means.wanted.reusable(task.known, at):
            return Seen(task, fd, at, nlink, content=task.known.content, kept=True)
        if nlink > 1 and (content := self._linked(at, means.wanted)) is not None:
            return Seen(task, fd, at, nlink, content=content)
        try:
            at, fingerprint = taken(fd, means.pipeline.fingerprint)
        except Changed as error:
            again = self._later(task).due if patient else None
            return Unread(task, at, nlink, Reason.CHANGED, error.message, again)
        except OSError as error:
            return self._refused(task, error, at)
        return Seen(task, fd, at, nlink, fingerprint)

    def _linked(self, file: FileId, wanted: Wanted) -> int | None:
        """Find the content under another name of the same file, which costs no read."""
        other = self._store.files.linked(file.dev, file.ino)
        return other.content if other and wanted.reusable(other, file) else None

    def _refused(self, task: Task, error: OSError, at: FileId = NOWHERE) -> Look:
        if error.errno in GONE:
            return Gone(task)
        if error.errno in OURS:
            return self._later(task)
        passes = error.errno in PASSING and task.entry.attempts < TRIES
        again = self._later(task).due if passes else None
        return Unread(task, at, 1, Reason.UNREADABLE, error.strerror or str(error), again)

    def _later(self, task: Task) -> Later:
        settings = self._settings()
        wait = pause(settings.quiet, settings.busy, task.entry.attempts)
        return Later(task, self._clock() + wait)
