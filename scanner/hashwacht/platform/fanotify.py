"""The kernel's fanotify interface in the mode that reports names (fanotify(7)).

Events carry handles of directories and names in them (FAN_REPORT_DFID_NAME, Linux 5.9), never
open files: no access is delayed, and no file is read.  Needs CAP_SYS_ADMIN.
"""

from __future__ import annotations

import ctypes
import os
import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from hashwacht.platform.filesystems.file_handles import open_handle
from hashwacht.platform.process import check_call, libc

MODIFY = 0x0000_0002
ATTRIBUTES = 0x0000_0004
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
"""Bytes read at a time: about 3,000 events."""


class FanotifyEvent(NamedTuple):
    """An event on *name* in a directory.

    *fsid* is that of the file system (statfs(2)), *handle* the type of the directory's file handle
    followed by the handle.  OVERFLOW belongs to no directory: both are empty.
    """

    mask: int
    fsid: int
    handle: bytes
    name: bytes


def open_group() -> int:
    """Open a descriptor to read events from, without blocking.  Raises OSError."""
    flags = _CLOEXEC | _NONBLOCK | _REPORT_DFID_NAME
    return check_call(libc().fanotify_init(flags, os.O_RDONLY | os.O_CLOEXEC), b"fanotify")


def mark(group: int, path: bytes) -> None:
    """Report events on the whole file system that contains *path*.  Raises OSError."""
    events = MODIFY | ATTRIBUTES | CLOSE_WRITE | MOVED_TO | CREATE
    mask = ctypes.c_uint64(events | ON_DIRECTORY)
    flags = _MARK_ADD | _MARK_FILE_SYSTEM
    check_call(libc().fanotify_mark(group, flags, mask, -100, path), path)


def marked(group: int) -> set[int]:
    """Return the device numbers of the marked file systems, as proc_pid_fdinfo(5) shows them.

    An unmounted file system loses its mark without an event.
    """
    with open(f"/proc/self/fdinfo/{group}", "rb") as file:  # noqa: PTH123  (one system call less)
        marks = re.findall(rb"^fanotify .*\bsdev:([0-9a-f]+)", file.read(), re.MULTILINE)
    return {int(device, 16) for device in marks}


def parse(content: bytes) -> Iterator[FanotifyEvent]:
    """Yield the events in bytes read from a group."""
    at = 0
    while at + _HEAD.size <= len(content):
        length, _, _, head, mask, _, _ = _HEAD.unpack_from(content, at)
        if mask & OVERFLOW:
            yield FanotifyEvent(mask, 0, b"", b"")
        elif length >= head + _INFO.size:
            kind, _, _, fsid, size, _ = _INFO.unpack_from(content, at + head)
            start = at + head + _INFO.size
            if kind == _DFID_NAME:
                name = content[start + size : content.index(b"\0", start + size)]
                yield FanotifyEvent(mask, fsid, content[start - 4 : start + size], name)
        at += length


def open_directory(mount: int, handle: bytes) -> int:
    """Open a directory by its handle with O_PATH; *mount* is a descriptor in its mount.

    Raises OSError: ESTALE if the directory is gone.  Needs CAP_DAC_READ_SEARCH.
    """
    return open_handle(mount, handle, os.O_PATH | os.O_DIRECTORY)
