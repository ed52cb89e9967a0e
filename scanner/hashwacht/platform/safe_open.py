"""Opening and reading files in directories that attackers own.

Whoever can write to a directory can exchange a name for a link, a device or another file between
any two of our system calls.  So names are only ever resolved one at a time, relative to an open
directory, without following links, and what was opened is compared with what was meant.  From
then on only the descriptor counts.  The sequence is that of Borg (``stat_update_check``) and
restic (``archiver.Save``).

Times are compared too: a content may only get a verdict if nothing was written to it while it
was read.  The kernel stamps files with a clock that ticks every 1 to 10 ms, so two writes within
one tick look like one; :func:`stable` waits such a tick out before it reads.  What remains: a
program that writes through a shared memory map moves the times only when the kernel next cleans
the page (mmap(2)), and network file systems show times as late as their caches allow.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable
from typing import Self, TypeVar

from hashwacht.core.errors import HashwachtError
from hashwacht.core.types import FileId

T = TypeVar("T")

_ALWAYS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_PASSING = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""To go through a directory: needs the permission to search it, not to read it (open(2))."""

_NO_LONGER = frozenset({errno.ELOOP, errno.ENXIO})
"""What open(2) says of a symbolic link, and of a socket or a device without a driver."""

_TICK_NS = 10_000_000
"""The coarsest kernel clock that stamps files: CONFIG_HZ=100."""

_COARSE_NS = 2_000_000_000
"""The coarsest times that a file system in use keeps: FAT, 2 s."""


class FileChanged(HashwachtError):
    """The file was exchanged before it could be opened, or written to during both readings."""

    retryable = True

    def __init__(self, message: str) -> None:
        """Say what was seen."""
        super().__init__(message, advice="It is asked again when it has come to rest.")


class OpenDirectory:
    """A directory held by its descriptor: renaming or replacing its name does not move us."""

    __slots__ = ("dev", "fd", "ino")

    def __init__(self, fd: int) -> None:
        """Take over *fd*, which is open on a directory."""
        found = os.fstat(fd)
        self.fd, self.dev, self.ino = fd, found.st_dev, found.st_ino

    @classmethod
    def at(cls, path: bytes, *, listable: bool = True) -> OpenDirectory:
        """Open the absolute *path*, component by component, following no link at any of them.

        There is no limit to its length.  Without *to_list* it need not be readable, as the
        directories above it never need to be: files in it can be opened, its names not listed.
        Raises OSError; ENOTDIR also for a symbolic link.
        """
        if not path.startswith(b"/"):
            raise ValueError("an absolute path is needed")
        names = [name for name in path.split(b"/") if name]
        here = cls(os.open(b"/", _PASSING))
        for name in names:
            with here:
                here = cls(os.open(name, _PASSING, dir_fd=here.fd))
        if not listable:
            return here
        with here:
            return here.directory(b".")

    @property
    def id(self) -> tuple[int, int]:
        """Device and inode number."""
        return self.dev, self.ino

    def directory(self, name: bytes) -> OpenDirectory:
        """Open the directory *name* in this one.  Raises OSError."""
        return OpenDirectory(_open(name, os.O_DIRECTORY, self.fd))

    def parent(self) -> OpenDirectory:
        """Open what is above this directory now.  Raises OSError."""
        return self.directory(b"..")

    def file(self, name: bytes, expected: tuple[int, int]) -> int:
        """Open the regular file *name* for reading and return the descriptor; it never blocks.

        *expected* is the (device, inode) that was seen under that name.  Raises Changed if
        something else is there now, OSError if it cannot be opened or is gone.
        """
        try:
            fd = _open(name, 0, self.fd)
        except OSError as error:
            if error.errno in _NO_LONGER:
                raise FileChanged("it is no regular file any more") from error
            raise
        found = os.fstat(fd)
        if (found.st_dev, found.st_ino) != expected or not stat.S_ISREG(found.st_mode):
            os.close(fd)
            raise FileChanged("another file was put in its place")
        return fd

    def close(self) -> None:
        """Give the descriptor back.  Any number of calls."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _open(name: bytes, flags: int, directory: int | None) -> int:
    """Open for reading, leaving the access time alone where the kernel lets us (open(2))."""
    try:
        return os.open(name, _ALWAYS | flags | os.O_NOATIME, dir_fd=directory)
    except PermissionError as error:
        if error.errno != errno.EPERM:  # EPERM: neither the owner nor CAP_FOWNER
            raise
        return os.open(name, _ALWAYS | flags, dir_fd=directory)


def read_consistent(
    fd: int,
    read: Callable[[int], T],
    *,
    now: Callable[[], int] = time.time_ns,
    pause: Callable[[float], None] = time.sleep,
) -> tuple[FileId, T]:
    """Let *read* take in *fd* from the start, and vouch that nothing was written meanwhile.

    Returns the identity of exactly the bytes that were read, and what *read* made of them.  If
    the file changed it is read once more; then Changed is raised.  OSError and whatever *read*
    raises pass through.  A file that was unlinked or replaced by name is still read to its end:
    it is the descriptor that counts.
    """
    for _ in range(2):
        before = _identity(fd)
        if abs(now() - before.ctime_ns) < _TICK_NS:
            pause(_TICK_NS / 1e9)
            before = _identity(fd)
        os.lseek(fd, 0, os.SEEK_SET)
        value = read(fd)
        if _identity(fd) == before:
            return before, value
    raise FileChanged("it was written to during both readings")


def reopen_read_only(fd: int) -> int:
    """Open the file of *fd* again, for reading only and with an offset of its own.

    Raises OSError, also if this user may not read the file.
    """
    return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)


def read_once(fd: int, read: Callable[[int], T]) -> tuple[FileId, T]:
    """As :func:`stable`, for a file whose writer says that he has finished: it is read once.

    A writer who lies within one tick of the kernel's clock is not seen; he deceives only himself.
    Raises Changed.
    """
    before = _identity(fd)
    os.lseek(fd, 0, os.SEEK_SET)
    value = read(fd)
    if _identity(fd) != before:
        raise FileChanged("it was written to while it was read")
    return before, value


def _identity(fd: int) -> FileId:
    return FileId.from_stat(os.fstat(fd))


def timestamps_settled(file: FileId, read_at_ns: int) -> bool:
    """Tell if an equal FileId seen later proves that nothing was written since.

    *read_at_ns* is the wall-clock time at which the reading began, in ns since the epoch.  False
    for a file whose last change is so recent that a further one could carry the same time stamp
    (Git calls such an entry racy: Documentation/technical/racy-git): read it again next time.
    A time in whole seconds may come from a file system that keeps no finer ones.
    """
    coarse = file.ctime_ns % 1_000_000_000 == 0
    return file.ctime_ns < read_at_ns - (_COARSE_NS if coarse else _TICK_NS)
