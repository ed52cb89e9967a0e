"""Opening files on which another process holds a write lease (fcntl(2), F_SETLEASE).

File servers hold such leases (Samba's oplocks), and an owner may take one at any time.  An open
that does not block only asks the holder to give the lease up, and fails; a holder that takes it
again at once keeps every such open out for ever.  An open that blocks gets the file when the
holder gives the lease up, or when the kernel takes it away (/proc/sys/fs/lease-break-time, 45 s),
and while it waits no new lease is granted.  So the open blocks in a thread of its own, for which
the caller waits as long as it likes.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable

MAX_WAITING, MAX_WAITING_OF_OWNER = 16, 4
"""Files that are waited for at a time, in all and of one owner."""

HELD_OPEN = 60.0
"""Seconds that a file stays open here for a later attempt, where the first one ended earlier."""

_FLAGS = os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC

FileKey = tuple[int, int]
"""Device and inode number."""


class _Opening:
    """One blocking open, in a thread of its own; then the file is held open for a while."""

    def __init__(self, fd: int, owner: int, on_end: Callable[[], None]) -> None:
        self.owner, self._fd, self._on_end = owner, fd, on_end
        self.error: OSError | None = None
        self.done, self.released = threading.Event(), threading.Event()
        threading.Thread(target=self._run, name="lease", daemon=True).start()

    def _run(self) -> None:
        opened = -1
        try:
            opened = os.open(f"/proc/self/fd/{self._fd}", _FLAGS)
        except OSError as error:
            self.error = error
        self.done.set()
        if opened >= 0:
            self.released.wait(HELD_OPEN)
            os.close(opened)
        os.close(self._fd)
        self._on_end()


class BlockingOpener:
    """Opens files that others hold a lease on.  Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._openings: dict[FileKey, _Opening] = {}

    def open(self, fd: int, seconds: float) -> int:
        """Return a descriptor of its own for the regular file of *fd*, which may be O_PATH.

        Raises BlockingIOError if *seconds* are not enough, or too many other files are waited for:
        the open goes on, and a later attempt succeeds.  Raises OSError.
        """
        opening = self._opening(fd)
        if not opening.done.wait(seconds):
            raise _blocked()
        if opening.error is not None:
            raise opening.error
        try:
            return os.open(f"/proc/self/fd/{fd}", _FLAGS | os.O_NONBLOCK)
        finally:
            opening.released.set()

    def _opening(self, fd: int) -> _Opening:
        status = os.fstat(fd)
        key, owner = (status.st_dev, status.st_ino), status.st_uid
        with self._lock:
            if (opening := self._openings.get(key)) is not None:
                return opening
            same_owner = sum(opening.owner == owner for opening in self._openings.values())
            if len(self._openings) >= MAX_WAITING or same_owner >= MAX_WAITING_OF_OWNER:
                raise _blocked()
            opening = _Opening(os.dup(fd), owner, lambda: self._forget(key))
            self._openings[key] = opening
            return opening

    def _forget(self, key: FileKey) -> None:
        with self._lock:
            del self._openings[key]


BLOCKING_OPENER = BlockingOpener()
"""One for the process, which bounds its threads."""


def _blocked() -> BlockingIOError:
    return BlockingIOError(errno.EAGAIN, "another process holds a lease on the file")
