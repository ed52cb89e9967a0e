"""Volumes: numbers of file systems and subvolumes that stay the same when they are mounted again.

The device number of stat(2) is assigned at each mount, also to every subvolume, and is reused for
another one later.  A stored file must not look changed only because of that, nor unchanged.  The
number of a volume comes from the UUID of its file system, with the subvolume: the field f_fsid of
statfs(2), or XFS_IOC_FSGEOMETRY.  Other file systems (network, memory, overlays) have only the
device number.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
from contextlib import suppress

from hashwacht.platform.process import check_call, libc

_XFS = 0x5846_5342
_WITH_STABLE_FSID = frozenset({0xEF53, 0x9123_683E, 0xCA45_1A4E, 0x2FC1_2FC1})
"""ext2 to ext4, Btrfs, bcachefs, ZFS: f_fsid is made of the UUID, and of the subvolume if any."""

_XFS_GEOMETRY, _GEOMETRY_BYTES, _UUID = 0x8070_5864, 112, slice(64, 80)
"""XFS_IOC_FSGEOMETRY_V1 and the place of the UUID in its structure (xfs_fs.h)."""

_MARK, _MASK = 1 << 62, (1 << 62) - 1
"""Numbers of volumes have this bit, which no device number has."""


class VolumeTable:
    """The volumes that this process has met, by device number.  Thread-safe.

    *generation* grows with every change.
    """

    def __init__(self) -> None:
        self._volumes: dict[int, int] = {}
        self._devices: dict[int, int] = {}
        self.generation = 0

    def examine(self, fd: int) -> bool:
        """Record the volume of an open file or directory; return whether its device was new.

        Call it where another volume may begin, before files there are compared with the storage.
        """
        device = os.fstat(fd).st_dev
        number = _volume_number(fd) or device
        if self._volumes.get(device) == number:
            return False
        self._devices[number] = device
        self._volumes[device] = number
        self.generation += 1
        return True

    def to_volume(self, device: int) -> int:
        """Return the number to store for a device number."""
        return self._volumes.get(device, device)

    def to_device(self, stored: int) -> int:
        """Return the present device number of a stored number.

        A volume that this process has not met has none: then *stored* itself, which no file has.
        """
        device = self._devices.get(stored, stored)
        return device if self._volumes.get(device, stored) == stored else stored


VOLUMES = VolumeTable()
"""Device numbers are those of the kernel, so there is one table for the process."""


def _volume_number(fd: int) -> int | None:
    buffer = ctypes.create_string_buffer(256)
    try:
        check_call(libc().fstatfs(fd, buffer))
    except OSError:
        return None
    magic, identity = int.from_bytes(buffer.raw[:8], "little"), buffer.raw[56:64]  # f_fsid
    if magic == _XFS:
        identity = _xfs_uuid(fd)
    elif magic not in _WITH_STABLE_FSID:
        return None
    if not any(identity):
        return None
    digest = hashlib.blake2b(magic.to_bytes(8, "little") + identity, digest_size=8).digest()
    return int.from_bytes(digest, "little") & _MASK | _MARK


def _xfs_uuid(fd: int) -> bytes:
    """Return the UUID of an XFS, nothing if it cannot be opened for reading."""
    with suppress(OSError):
        readable = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return fcntl.ioctl(readable, _XFS_GEOMETRY, bytes(_GEOMETRY_BYTES))[_UUID]
        finally:
            os.close(readable)
    return b""
