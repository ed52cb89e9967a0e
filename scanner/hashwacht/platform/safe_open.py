"""Opening and reading files in directories that attackers own.

A user who can write to a directory can replace a name by a link, a device or another file between
any two of our system calls.  So names are resolved one at a time, relative to an open directory,
without following links, and what was opened is compared with what was expected.  From then on
only the descriptor counts.  The sequence is that of Borg (``stat_update_check``) and
restic (``archiver.Save``).

Times are compared too: a content may only get a verdict if nothing was written to it while it
was read.  The kernel stamps files with a clock that ticks every 1 to 10 ms, so two writes within
one tick look like one; :func:`read_consistent` waits one tick before it reads.  What remains: a
program that writes through a shared memory map moves the times only when the kernel next cleans
the page (mmap(2)), and network file systems show times as late as their caches allow.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Self, TypeVar

from hashwacht.core.errors import HashwachtError
from hashwacht.core.types import FileId
from hashwacht.platform.leases import BLOCKING_OPENER

T = TypeVar("T")

_ALWAYS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_PASSING = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""For passing through a directory: needs permission to search, not to read it (open(2))."""

_IDENTIFYING = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
"""For a file that need not have any permissions (open(2))."""

_REOPENING = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

LEASE_WAIT, MAX_LEASE_BREAK = 0.5, 60.0
"""Seconds to wait for a file on which another process holds a lease: where the attempt is repeated
later, and where it is not.  The kernel takes a lease away after 45 s by default."""

_MISSING = (FileNotFoundError, NotADirectoryError)

_NO_LONGER = frozenset({errno.ELOOP, errno.ENXIO})
"""Errors of open(2) for a symbolic link, and for a socket or a device without a driver."""

_TICK_NS = 10_000_000
"""The coarsest kernel clock that stamps files: CONFIG_HZ=100."""

_COARSE_NS = 2_000_000_000
"""The coarsest times that a file system in use keeps: FAT, 2 s."""


class FileChanged(HashwachtError):
    """The file was replaced before it was opened, or written to during both attempts to read it."""

    retryable = True

    def __init__(self, message: str) -> None:
        super().__init__(message, advice="It is checked again once it no longer changes.")


class OpenDirectory:
    """A directory held by its descriptor: renaming or replacing its name has no effect."""

    __slots__ = ("dev", "fd", "ino")

    def __init__(self, fd: int) -> None:
        """Take over *fd*, which is open on a directory."""
        status = os.fstat(fd)
        self.fd, self.dev, self.ino = fd, status.st_dev, status.st_ino

    @classmethod
    def at(cls, path: bytes, *, listable: bool = True) -> OpenDirectory:
        """Open the absolute *path*, component by component, following no link at any of them.

        Its length is not limited.  If it need not be *listable*, permission to search it is
        enough, as for the directories above it: files in it can be opened, but not listed.
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
        """Open the directory that is its parent now.  Raises OSError."""
        return self.directory(b"..")

    def file(self, name: bytes, expected: tuple[int, int], lease_wait: float = LEASE_WAIT) -> int:
        """Open the regular file *name* for reading and return the descriptor.

        *expected* is the (device, inode) that was seen under that name.  Blocks only if another
        process holds a lease on the file, for *lease_wait* seconds.  Raises FileChanged if it is
        another file now, OSError if it cannot be opened or is gone.
        """
        try:
            fd = _open(name, 0, self.fd)
        except BlockingIOError:
            return self._leased_file(name, expected, lease_wait)
        except OSError as error:
            if error.errno in _NO_LONGER:
                raise FileChanged("it is no longer a regular file") from error
            raise
        status = os.fstat(fd)
        if (status.st_dev, status.st_ino) != expected or not stat.S_ISREG(status.st_mode):
            os.close(fd)
            raise FileChanged("it was replaced by another file")
        return fd

    def _leased_file(self, name: bytes, expected: tuple[int, int], seconds: float) -> int:
        """Open a file on which another process holds a lease, through a verified descriptor."""
        fd = os.open(name, _IDENTIFYING, dir_fd=self.fd)
        try:
            status = os.fstat(fd)
            if (status.st_dev, status.st_ino) != expected or not stat.S_ISREG(status.st_mode):
                raise FileChanged("it was replaced by another file")
            return BLOCKING_OPENER.open(fd, seconds)
        finally:
            os.close(fd)

    def close(self) -> None:
        """Close the descriptor.  Again: does nothing."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _open(name: bytes, flags: int, directory: int | None) -> int:
    """Open for reading, without changing the access time where that is permitted (open(2))."""
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
    """Call *read* with *fd* at offset 0, and verify that nothing was written meanwhile.

    Returns the identity of exactly the bytes that were read, and the result of *read*.  If the
    file changed, or *read* raises FileChanged, it is read once more; then FileChanged is raised.
    OSError and other errors of *read* pass through.  A file that is unlinked or replaced by name is
    still read to its end: only the descriptor counts.
    """
    for _ in range(2):
        before = _identity(fd)
        if abs(now() - before.ctime_ns) < _TICK_NS:
            pause(_TICK_NS / 1e9)
            before = _identity(fd)
        os.lseek(fd, 0, os.SEEK_SET)
        with suppress(FileChanged):
            value = read(fd)
            if _identity(fd) == before:
                return before, value
    raise FileChanged("it was written to during both attempts to read it")


def reopen_read_only(fd: int) -> int:
    """Open the file of *fd* again, for reading only and with an offset of its own.

    If *fd* leaves the time of the last access as it is (O_NOATIME), so does the result.  Raises
    OSError, also if this user may not read the file.
    """
    kept_access_time = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NOATIME
    try:
        return os.open(f"/proc/self/fd/{fd}", _REOPENING | kept_access_time)
    except BlockingIOError:
        return BLOCKING_OPENER.open(fd, LEASE_WAIT)


def open_regular(path: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> int:
    """Open a regular file for reading; follows links, and never blocks on a FIFO or device.

    Waits for a lease as long as the kernel lets its holder keep it.  Raises OSError.
    """
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(0, "not a regular file")
        try:
            return os.open(f"/proc/self/fd/{fd}", _REOPENING)
        except BlockingIOError:
            return BLOCKING_OPENER.open(fd, MAX_LEASE_BREAK)
    finally:
        os.close(fd)


def read_once(fd: int, read: Callable[[int], T]) -> tuple[FileId, T]:
    """As :func:`read_consistent`, for a file that its writer has finished: it is read once.

    A later write within one tick of the kernel's clock goes unnoticed.  Raises FileChanged.
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
    """Return whether an equal FileId seen later proves that nothing was written since.

    *read_at_ns* is when reading began, in ns since the epoch.  False for a file that changed so
    recently that another change could have the same time stamp (Git calls such an entry racy:
    Documentation/technical/racy-git): read it again next time.  A time in whole seconds may come
    from a file system with coarse time stamps.
    """
    coarse = file.ctime_ns % 1_000_000_000 == 0
    return file.ctime_ns < read_at_ns - (_COARSE_NS if coarse else _TICK_NS)


def find_file(file: tuple[int, int], *paths: bytes) -> int | None:
    """Return a descriptor (O_PATH) of *file* (device, inode), None if it is not found.

    Looks at the absolute *paths*, then at every name in their directories, as it may have been
    renamed.  Raises OSError if that is impossible.
    """
    for path in dict.fromkeys(paths):
        directory, _, name = path.rpartition(b"/")
        with suppress(*_MISSING), OpenDirectory.at(directory or b"/", listable=False) as parent:
            if (fd := _open_if_same(parent, name, file)) is not None:
                return fd
    for directory in dict.fromkeys(path.rpartition(b"/")[0] for path in paths):
        if (fd := _search(directory or b"/", file)) is not None:
            return fd
    return None


def find_directory(path: bytes, directory: tuple[int, int]) -> OpenDirectory | None:
    """Return the *directory* (device, inode) that had the absolute *path*, to pass through only.

    It may have another name in the same parent now.  None if it is not found.  Raises OSError if
    that cannot be determined.
    """
    with suppress(*_MISSING):
        current = OpenDirectory.at(path or b"/", listable=False)
        if current.id == directory:
            return current
        current.close()
    fd = _search(path.rpartition(b"/")[0] or b"/", directory)
    return None if fd is None else OpenDirectory(fd)


def _search(directory: bytes, file: tuple[int, int]) -> int | None:
    """Look for the inode number among all names of a directory."""
    with (
        suppress(*_MISSING, PermissionError),
        OpenDirectory.at(directory) as parent,
        os.scandir(parent.fd) as entries,
    ):
        for entry in entries:
            if entry.inode() == file[1]:
                fd = _open_if_same(parent, os.fsencode(entry.name), file)
                if fd is not None:
                    return fd
    return None


def _open_if_same(parent: OpenDirectory, name: bytes, file: tuple[int, int]) -> int | None:
    try:
        fd = os.open(name, _IDENTIFYING, dir_fd=parent.fd)
    except FileNotFoundError:
        return None
    status = os.fstat(fd)
    if (status.st_dev, status.st_ino) == file:
        return fd
    os.close(fd)
    return None


def chown(fd: int, uid: int) -> None:
    """Change the owner of an open file, also one of O_PATH, which fchown(2) refuses."""
    os.chown(f"/proc/self/fd/{fd}", uid, -1)


def chmod(fd: int, mode: int) -> None:
    """Change the mode of an open file, also one of O_PATH, which fchmod(2) refuses."""
    os.chmod(f"/proc/self/fd/{fd}", mode)  # noqa: PTH101  # the name of a descriptor
