"""The canary: a file created in every root from time to time, which the watch must announce.

It is called ``.hashwacht-canary``, is empty, and exists for an instant only: it is created, never
opened if it exists, and unlinked at once.  A file of this name that a customer created is neither
written to, followed, nor taken for a canary: it is announced and checked like any file.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from hashwacht.core.paths import escape_path
from hashwacht.core.watch_events import Announcement, Cause, MissedEvents, Root
from hashwacht.platform.filesystems.responsiveness import RESPONSE_PROBE

NAME = b".hashwacht-canary"

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _RootCanary:
    """The canary of one root; *pending_since* is when it was created, None once announced."""

    root: Root
    pending_since: float | None = None
    problem: str = ""


class Canary:
    """Creates canaries and recognizes their announcements.  Thread-safe."""

    def __init__(
        self, roots: Sequence[Root], patience: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Expect each announcement within *patience* seconds; *clock* returns monotonic seconds."""
        self._patience, self._clock = patience, clock
        self._lock = threading.Lock()
        self._canaries = {each.path.rstrip(b"/") + b"/" + NAME: _RootCanary(each) for each in roots}

    def write_all(self) -> list[MissedEvents]:
        """Create one in every root; return gaps for roots that do not exist.

        A root where none can be created, for example a read-only one, is watched without proof:
        that is logged once and listed in :attr:`unwritable`.
        """
        written = (
            self._write(each)
            for each in self._canaries.values()
            if not RESPONSE_PROBE.is_hanging(each.root.path)
        )
        return [missed for missed in written if missed is not None]

    def is_canary(self, announcement: Announcement) -> bool:
        """Return whether an announcement is that of a canary, which proves that the watch works.

        False if another file has that name: it must be checked.
        """
        canary = self._canaries.get(announcement.path)
        if canary is None:
            return False
        with self._lock:  # a canary exists only while the lock is held
            canary.pending_since = None
            return not _is_foreign(announcement.path)

    def overdue(self) -> list[MissedEvents]:
        """Return gaps for roots whose canary is overdue, again after another *patience* seconds."""
        now, late = self._clock(), []
        with self._lock:
            for each in self._canaries.values():
                if each.pending_since is not None and now - each.pending_since > self._patience:
                    each.pending_since = now
                    detail = "a canary file was not announced"
                    late.append(MissedEvents(each.root.name, Cause.DEAD_WATCH, detail))
        return late

    @property
    def unwritable(self) -> dict[str, str]:
        """Why no canary can be created, by root."""
        return {each.root.name: each.problem for each in self._canaries.values() if each.problem}

    def _write(self, canary: _RootCanary) -> MissedEvents | None:
        try:
            with self._lock:
                if canary.pending_since is None:
                    canary.pending_since = self._clock()
                _create(canary.root.path)
        except OSError as error:
            with self._lock:
                canary.pending_since = None
            if error.errno in {errno.ENOENT, errno.ENOTDIR}:
                return MissedEvents(canary.root.name, Cause.UNMOUNTED, "the directory is not there")
            self._report(canary, error.strerror or str(error))
        else:
            canary.problem = ""
        return None

    def _report(self, canary: _RootCanary, problem: str) -> None:
        if problem != canary.problem:
            name, path = canary.root.name, escape_path(canary.root.path)
            message = "root %s is watched without proof: no canary can be created in %s: %s"
            _log.warning(message, name, path, problem)
        canary.problem = problem


def _create(directory: bytes) -> None:
    """Create and unlink an empty file.  Raises OSError; FileExistsError if one is there."""
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with suppress(FileNotFoundError):  # that of a killed process is an empty file of this user
            status = os.stat(NAME, dir_fd=fd, follow_symlinks=False)
            empty = stat.S_ISREG(status.st_mode) and status.st_size == 0 and status.st_nlink == 1
            if empty and status.st_uid == os.geteuid():
                os.unlink(NAME, dir_fd=fd)
        os.close(os.open(NAME, _NEW, 0o600, dir_fd=fd))
        os.unlink(NAME, dir_fd=fd)
    finally:
        os.close(fd)


def _is_foreign(path: bytes) -> bool:
    """Return whether there is something that is not an empty file, as a canary would be."""
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return not stat.S_ISREG(status.st_mode) or status.st_size > 0
