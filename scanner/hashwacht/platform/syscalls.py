"""What the kernel offers for moving files safely and Python has no name for.

renameat2(2), two attributes of inodes (ioctl_iflags(2)) and read leases (F_SETLEASE, fcntl(2)).
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from enum import StrEnum

from hashwacht.platform.process import check_call, libc

_NOREPLACE = 1
"""RENAME_NOREPLACE of include/uapi/linux/fs.h."""

_GET_FLAGS = 0x8008_6601
_GET_GENERATION = 0x8008_7601
"""FS_IOC_GETFLAGS and FS_IOC_GETVERSION of the same, on machines with 64 bits."""

_IMMUTABLE = 0x10
_APPEND_ONLY = 0x20

_IGNORED = signal.SIGURG
"""What the kernel sends when somebody wants to write: SIGIO, its default, would end us."""


class WriterStatus(StrEnum):
    """Whether a file is open for writing."""

    NONE = "none"
    SOME = "some"
    UNKNOWN = "unknown"
    """The file system has no leases, or the file is not ours and we lack CAP_LEASE."""


def rename_no_replace(from_fd: int, old: bytes, to_fd: int, new: bytes) -> None:
    """Rename relative to open directories; never over something that is there.

    Raises OSError: EEXIST if *new* is taken; EINVAL if the file system cannot promise that
    (NFS, some FUSE), ENOSYS if the C library cannot ask for it.
    """
    if not hasattr(libc(), "renameat2"):  # glibc before 2.28, musl
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    check_call(libc().renameat2(from_fd, old, to_fd, new, _NOREPLACE), old)


def is_immutable(fd: int) -> bool:
    """Tell if the file may not be renamed because of its attributes i or a."""
    flags = _ask(fd, _GET_FLAGS)
    return flags is not None and bool(flags & (_IMMUTABLE | _APPEND_ONLY))


def inode_generation(fd: int) -> int | None:
    """Give the number that differs when an inode number is used again; None if there is none."""
    return _ask(fd, _GET_GENERATION)


def _ask(fd: int, what: int) -> int | None:
    try:
        return int.from_bytes(fcntl.ioctl(fd, what, bytes(8))[:4], "little")
    except OSError:
        return None


def acquire_lease(fd: int) -> WriterStatus:
    """Ask to be told before anybody opens the file for writing; *fd* is open for reading only.

    NONE means that nobody has it open for writing or mapped so, and that whoever tries from now
    on waits until :func:`end_lease` (at most /proc/sys/fs/lease-break-time seconds).
    """
    try:
        fcntl.fcntl(fd, fcntl.F_SETSIG, _IGNORED)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return WriterStatus.SOME if error.errno == errno.EAGAIN else WriterStatus.UNKNOWN
    return WriterStatus.NONE


def release_lease(fd: int) -> None:
    """Let writers go on.  Does nothing if there is no lease."""
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return
