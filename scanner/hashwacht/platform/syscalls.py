"""System calls for moving files safely that Python does not provide.

renameat2(2), inode attributes (ioctl_iflags(2)) and read leases (F_SETLEASE, fcntl(2)).
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from contextlib import suppress
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
"""Sent when another process wants to write; the default, SIGIO, would end this process."""


class WriterStatus(StrEnum):
    """Whether a file is open for writing."""

    NONE = "none"
    SOME = "some"
    UNKNOWN = "unknown"
    """The file system has no leases, or the file is not ours and we lack CAP_LEASE."""


def rename_no_replace(from_fd: int, old: bytes, to_fd: int, new: bytes) -> None:
    """Rename relative to open directories, but never over an existing file.

    Raises OSError: EEXIST if *new* is taken; EINVAL if the file system cannot promise that
    (NFS, some FUSE), ENOSYS if the C library cannot ask for it.
    """
    if not hasattr(libc(), "renameat2"):  # glibc before 2.28, musl
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    check_call(libc().renameat2(from_fd, old, to_fd, new, _NOREPLACE), old)


def is_immutable(fd: int) -> bool:
    """Return whether attribute i or a forbids renaming the file."""
    flags = _inode_attribute(fd, _GET_FLAGS)
    return flags is not None and bool(flags & (_IMMUTABLE | _APPEND_ONLY))


def inode_generation(fd: int) -> int | None:
    """Return the generation of a reused inode number; None if there is none."""
    return _inode_attribute(fd, _GET_GENERATION)


def _inode_attribute(fd: int, request: int) -> int | None:
    try:
        return int.from_bytes(fcntl.ioctl(fd, request, bytes(8))[:4], "little")
    except OSError:
        return None


def acquire_lease(fd: int) -> WriterStatus:
    """Take a read lease on the file of *fd*, which is open for reading only.

    NONE means that no process has it open or mapped for writing, and that a process that tries
    waits until :func:`release_lease` (at most /proc/sys/fs/lease-break-time seconds).
    """
    try:
        fcntl.fcntl(fd, fcntl.F_SETSIG, _IGNORED)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return WriterStatus.SOME if error.errno == errno.EAGAIN else WriterStatus.UNKNOWN
    return WriterStatus.NONE


def release_lease(fd: int) -> None:
    """Release the lease, if there is one."""
    with suppress(OSError):
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)


def has_writer(fd: int) -> bool | None:
    """Return whether a process has this file open or mapped for writing; None if unknown.

    A write through a map moves the times of the file only when it is the first one to a page since
    the kernel wrote that page to the disk, on a tmpfs never, and it causes no event.  So equal
    times prove nothing about a file that had a writer when it was read.
    """
    status = acquire_lease(fd)
    if status is WriterStatus.NONE:
        release_lease(fd)
    return None if status is WriterStatus.UNKNOWN else status is WriterStatus.SOME
