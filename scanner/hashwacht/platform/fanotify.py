"""The kernel's fanotify interface, as far as it names files (fanotify(7)).

Descriptors of directories and the names in them are reported (FAN_REPORT_DFID_NAME, Linux 5.9),
never open files: nothing is held up, and nothing of a file is read.  Needs CAP_SYS_ADMIN.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

CLOSE_WRITE = 0x0000_0008
MOVED_TO = 0x0000_0080
CREATE = 0x0000_0100
OVERFLOW = 0x0000_4000
ON_DIRECTORY = 0x4000_0000

_CLOEXEC, _NONBLOCK, _REPORT_DFID_NAME = 0x1, 0x2, 0xC00
_MARK_ADD, _MARK_FILE_SYSTEM = 0x1, 0x100
_DFID_NAME = 2
_HEAD = struct.Struct("=IBBHQii")
"""struct fanotify_event_metadata: lengths, version, mask, descriptor, process."""
_INFO = struct.Struct("=BBHQIi")
"""struct fanotify_event_info_fid up to the bytes of its file handle: type, length, file system,
bytes in the handle, type of the handle."""

READ = 256 * 1024
"""Bytes taken at a time: some 3,000 events."""


class FanotifyEvent(NamedTuple):
    """Something happened to *name* in a directory.

    *fsid* is the file system's (statfs(2)), *handle* the directory's file handle with its type
    before it.  On OVERFLOW, which belongs to no directory, both are empty.
    """

    mask: int
    fsid: int
    handle: bytes
    name: bytes


def open_group() -> int:
    """Give a descriptor that events are read from, never waiting.  Raises OSError."""
    flags = _CLOEXEC | _NONBLOCK | _REPORT_DFID_NAME
    return _checked(_libc().fanotify_init(flags, os.O_RDONLY | os.O_CLOEXEC), b"fanotify")


def mark(group: int, path: bytes) -> None:
    """Report what comes into the whole file system that *path* lies in.  Raises OSError."""
    mask = ctypes.c_uint64(CLOSE_WRITE | MOVED_TO | CREATE | ON_DIRECTORY)
    flags = _MARK_ADD | _MARK_FILE_SYSTEM
    _checked(_libc().fanotify_mark(group, flags, mask, -100, path), path)


def marked(group: int) -> set[int]:
    """Give the file systems that are marked, by their numbers as the kernel writes them.

    A file system that is unmounted loses its mark without a word (fdinfo: proc_pid_fdinfo(5)).
    """
    with open(f"/proc/self/fdinfo/{group}", "rb") as file:  # noqa: PTH123  (one system call less)
        lines = file.read().splitlines()
    return {
        int(word[5:], 16)
        for line in lines
        if line.startswith(b"fanotify ")
        for word in line.split()
        if word.startswith(b"sdev:")
    }


def parse(read: bytes) -> Iterator[FanotifyEvent]:
    """Take apart what was read from a group."""
    at = 0
    while at + _HEAD.size <= len(read):
        length, _, _, head, mask, _, _ = _HEAD.unpack_from(read, at)
        if mask & OVERFLOW:
            yield FanotifyEvent(mask, 0, b"", b"")
        elif length >= head + _INFO.size:
            kind, _, _, fsid, size, _ = _INFO.unpack_from(read, at + head)
            start = at + head + _INFO.size
            if kind == _DFID_NAME:
                name = read[start + size : read.index(b"\0", start + size)]
                yield FanotifyEvent(mask, fsid, read[start - 4 : start + size], name)
        at += length


class _Handle(ctypes.Structure):
    """struct file_handle, with room for the longest (MAX_HANDLE_SZ)."""

    _fields_ = (
        ("size", ctypes.c_uint),
        ("type", ctypes.c_int),
        ("bytes", ctypes.c_ubyte * 128),
    )


def open_directory(mount: int, handle: bytes) -> int:
    """Open a directory by its handle, for its path only; *mount* is open in its mount.

    Raises OSError: ESTALE if there is none any more.  Needs CAP_DAC_READ_SEARCH.
    """
    given = _Handle(len(handle) - 4)
    ctypes.memmove(ctypes.byref(given, 4), handle, len(handle))
    flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    return _checked(_libc().open_by_handle_at(mount, ctypes.byref(given), flags), b"a directory")


def _checked(result: int, what: bytes) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


@cache
def _libc() -> ctypes.CDLL:
    """Load it once: that takes longer than a system call, and there are thousands a second."""
    return ctypes.CDLL(None, use_errno=True)
