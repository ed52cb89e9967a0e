"""File handles (open_by_handle_at(2)): a file is opened by its identity, whatever its name is.

A handle is valid while the file exists, after renames and in any directory.  Opening one needs
CAP_DAC_READ_SEARCH and a descriptor in the same file system.
"""

from __future__ import annotations

import ctypes
import os

from hashwacht.platform.process import check_call, libc

_MAX_HANDLE = 128
"""MAX_HANDLE_SZ of include/uapi/linux/fcntl.h."""

_EMPTY_PATH = 0x1000
"""AT_EMPTY_PATH of the same."""


class _Handle(ctypes.Structure):
    """struct file_handle, with room for the longest."""

    _fields_ = (
        ("size", ctypes.c_uint),
        ("type", ctypes.c_int),
        ("bytes", ctypes.c_ubyte * _MAX_HANDLE),
    )


def read_handle(fd: int) -> bytes:
    """Return the type and the bytes of the handle of an open file, empty if it has none."""
    handle, mount = _Handle(_MAX_HANDLE), ctypes.c_int()
    if libc().name_to_handle_at(fd, b"", ctypes.byref(handle), ctypes.byref(mount), _EMPTY_PATH):
        return b""
    return ctypes.string_at(ctypes.byref(handle, 4), 4 + handle.size)


def open_handle(mount: int, handle: bytes, flags: int) -> int:
    """Open a file by its handle; *mount* is a descriptor in its mount.

    Raises OSError: ESTALE if the file is gone.
    """
    file_handle = _Handle(len(handle) - 4)
    ctypes.memmove(ctypes.byref(file_handle, 4), handle, len(handle))
    opened = libc().open_by_handle_at(mount, ctypes.byref(file_handle), flags | os.O_CLOEXEC)
    return check_call(opened, b"a file handle")
