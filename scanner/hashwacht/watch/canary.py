"""The canary: a file written into every root from time to time, to see if it is announced.

It is called ``.hashwacht-canary``, is empty, and exists for an instant only: it is made anew,
never opened if it exists, and unlinked at once.  So nothing that somebody put there under this
name is written to, followed, or taken for ours: it is announced and looked at like any file.
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

NAME = b".hashwacht-canary"

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Bird:
    """The canary of one root.  *since* is when it was written and not yet announced, if so."""

    root: Root
    since: float | None = None
    problem: str = ""


class Canary:
    """Writes canaries and knows which announcements are theirs.  Thread-safe."""

    def __init__(
        self, roots: Sequence[Root], patience: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Wait *patience* seconds for each; *clock* gives seconds from anywhere."""
        self._patience, self._clock = patience, clock
        self._lock = threading.Lock()
        self._birds = {each.path.rstrip(b"/") + b"/" + NAME: _Bird(each) for each in roots}

    def write_all(self) -> list[MissedEvents]:
        """Write one into every root; give the roots that are not there.

        A root that takes none, because it is read-only, say, is watched without proof: that is
        logged once, and stands in :attr:`unproven`.
        """
        written = (self._write(each) for each in self._birds.values())
        return [missed for missed in written if missed is not None]

    def is_canary(self, announcement: Announcement) -> bool:
        """Say if an announcement is that of a canary, and note that its root is watched.

        False if a file of somebody else has that name: it is to be looked at.
        """
        bird = self._birds.get(announcement.path)
        if bird is None:
            return False
        with self._lock:  # ours exists only while the lock is held
            bird.since = None
            return not _exists(announcement.path)

    def overdue(self) -> list[MissedEvents]:
        """Give the roots whose canary should have been announced by now, each once in a while."""
        now, late = self._clock(), []
        with self._lock:
            for each in self._birds.values():
                if each.since is not None and now - each.since > self._patience:
                    each.since = now
                    detail = "a file that was written into it was not announced"
                    late.append(MissedEvents(each.root.name, Cause.DEAD_WATCH, detail))
        return late

    @property
    def unwritable(self) -> dict[str, str]:
        """Why no canary can be written, by root."""
        return {each.root.name: each.problem for each in self._birds.values() if each.problem}

    def _write(self, bird: _Bird) -> MissedEvents | None:
        with self._lock:
            bird.since = self._clock() if bird.since is None else bird.since
        try:
            with self._lock:
                _make(bird.root.path)
        except OSError as error:
            with self._lock:
                bird.since = None
            if error.errno in {errno.ENOENT, errno.ENOTDIR}:
                return MissedEvents(bird.root.name, Cause.UNMOUNTED, "the directory is not there")
            self._tell(bird, error.strerror or str(error))
        else:
            bird.problem = ""
        return None

    def _tell(self, bird: _Bird, problem: str) -> None:
        if problem != bird.problem:
            _log.warning(
                "root %s is watched without proof: no canary can be written into %s: %s",
                bird.root.name,
                escape_path(bird.root.path),
                problem,
            )
        bird.problem = problem


def _make(directory: bytes) -> None:
    """Make and unlink an empty file.  Raises OSError; FileExistsError if somebody's is there."""
    where = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _sweep(where)
        os.close(os.open(NAME, _NEW, 0o600, dir_fd=where))
        os.unlink(NAME, dir_fd=where)
    finally:
        os.close(where)


def _sweep(where: int) -> None:
    """Unlink what we left behind when we were killed: an empty file of ours."""
    with suppress(FileNotFoundError):
        found = os.stat(NAME, dir_fd=where, follow_symlinks=False)
        ours = stat.S_ISREG(found.st_mode) and found.st_size == 0 and found.st_uid == os.geteuid()
        if ours and found.st_nlink == 1:
            os.unlink(NAME, dir_fd=where)


def _exists(path: bytes) -> bool:
    """Say if anything is there that is not an empty file, as ours would be."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return not stat.S_ISREG(found.st_mode) or found.st_size > 0
