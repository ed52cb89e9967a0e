"""The mounts of this process, from /proc/self/mountinfo (proc_pid_mountinfo(5)).

In a chroot the mount of ``/`` itself is not listed, unless it is a mount point.  Such a mount is
unknown, not missing: its number comes from /proc/self/fdinfo and its kind from statfs(2).
"""

from __future__ import annotations

import ctypes
import os
import re
import select
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from hashwacht.platform.process import check_call, libc

_REMOTE = frozenset(
    (
        *("9p", "afs", "beegfs", "ceph", "cifs", "coda", "fuse", "gfs2", "glusterfs", "gpfs"),
        *("lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "prl_fs", "pvfs2", "smb3"),
        *("smbfs", "vboxsf", "virtiofs", "vmhgfs"),
    )
)
"""File systems that other machines may write to.  What is behind FUSE is unknown, except for the
local ones below."""

_LOCAL_FUSE = frozenset({"fuse.bindfs", "fuse.fuse-overlayfs", "fuse.mergerfs", "fuse.ntfs-3g"})

_PSEUDO = frozenset(
    (
        *("autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts"),
        *("devtmpfs", "efivarfs", "fusectl", "hugetlbfs", "mqueue", "nsfs", "proc", "pstore"),
        *("rpc_pipefs", "securityfs", "selinuxfs", "sysfs", "tracefs"),
    )
)
"""File systems without users' files."""

_KIND_BY_MAGIC: Mapping[int, str] = MappingProxyType(
    {
        0x6969: "nfs",
        0x517B: "smbfs",
        0xFF53_4D42: "cifs",
        0xFE53_4D42: "smb3",
        0x6573_5546: "fuse",
        0x0102_1997: "9p",
        0x00C3_6400: "ceph",
        0x5346_414F: "afs",
        0x0BD0_0BD0: "lustre",
        0x0116_1970: "gfs2",
        0x7461_636F: "ocfs2",
    }
)
"""Network file systems by the first word of statfs(2): include/uapi/linux/magic.h."""

UNKNOWN = "unknown"
"""The kind of a local file system whose mount is not listed."""

_OCTAL = re.compile(rb"\\([0-7]{3})")


class FileSystemScope(StrEnum):
    """Which file systems below a directory belong to a walk of it."""

    LOCAL = "local"
    """All but network file systems."""
    ONE = "one"
    """The one that contains the directory, with all its subvolumes."""
    ALL = "all"
    """Network file systems too."""


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount: its unique number, its mount point, and the type of its file system.

    *dev* is the device number as the kernel stores it: the major number shifted by 20 bits, and
    the minor number.
    """

    id: int
    dev: int
    point: bytes
    kind: str

    @property
    def remote(self) -> bool:
        """True if the kernel does not announce what other machines write."""
        family = self.kind.partition(".")[0]
        return family in _REMOTE and self.kind not in _LOCAL_FUSE

    @property
    def pseudo(self) -> bool:
        """True if it contains no users' files (proc, sysfs, ...)."""
        return self.kind in _PSEUDO


def parse(text: bytes) -> Iterator[Mount]:
    """Yield the mounts of mountinfo; later ones are mounted over earlier ones."""
    for line in text.splitlines():
        before, _, after = line.partition(b" - ")
        fields = before.split(b" ")
        point = _OCTAL.sub(lambda match: bytes([int(match[1], 8)]), fields[4])
        major, _, minor = fields[2].partition(b":")
        dev = int(major) << 20 | int(minor)
        yield Mount(int(fields[0]), dev, point, after.split(b" ")[0].decode("ascii", "replace"))


class Mounts:
    """The mounts of this process; reads them again only after a change."""

    def __init__(self, path: str = "/proc/self/mountinfo") -> None:
        """Open *path* and read it for the first time.  Raises OSError."""
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLPRI)
        self._all: dict[bytes, Mount] = {}
        self.refresh()

    def fileno(self) -> int:
        """Return the descriptor, which has urgent input (POLLPRI) after a change."""
        return self._fd

    def refresh(self, *, changed: bool = False) -> bool:
        """Read again if something may have changed; return whether it has.

        *changed*: a poll of the descriptor has reported a change, which the kernel does only once.
        """
        if self._all and not changed and not self._poll.poll(0):
            return False
        with open(self._fd, "rb", closefd=False) as file:
            file.seek(0)
            mounts = {mount.point: mount for mount in parse(file.read())}
        differs = mounts != self._all
        self._all = mounts
        return differs

    def at(self, path: bytes) -> Mount:
        """Return the mount that contains *path*.  Raises OSError if it is needed and not there."""
        return self.find(path) or _unlisted_mount(path)

    def find(self, path: bytes) -> Mount | None:
        """Return the listed mount that contains *path*.  Touches no file."""
        while path not in self._all:
            if path in {b"/", b""}:
                return None
            path = os.path.split(path)[0]
        return self._all[path]

    def by_id(self, number: int | None) -> Mount | None:
        """Return the mount with this number, None if it is not listed."""
        return next((mount for mount in self._all.values() if mount.id == number), None)

    def below(self, path: bytes) -> list[Mount]:
        """Return the mounts below *path*, outer ones first."""
        prefix = path.rstrip(b"/") + b"/"
        inside = (mount for point, mount in self._all.items() if point.startswith(prefix))
        return sorted((m for m in inside if m.point != path), key=lambda mount: mount.point)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._fd)


def is_remote(path: bytes) -> bool:
    """Return whether *path* is on a file system whose changes are not all announced here.

    A path that does not exist is on none.  One that cannot be examined counts as remote.
    """
    with closing(Mounts()) as mounts:
        try:
            return mounts.at(path).remote
        except OSError as error:
            return not isinstance(error, (FileNotFoundError, NotADirectoryError))


def mount_id(fd: int) -> int | None:
    """Return the number of the mount on which *fd* was opened, None without /proc."""
    try:
        fields = Path(f"/proc/self/fdinfo/{fd}").read_bytes().split()
    except OSError:
        return None
    return int(fields[fields.index(b"mnt_id:") + 1]) if b"mnt_id:" in fields else None


def _unlisted_mount(path: bytes) -> Mount:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        status, number = os.fstat(fd), mount_id(fd)
        kind = _KIND_BY_MAGIC.get(_file_system_magic(fd), UNKNOWN)
    finally:
        os.close(fd)
    dev = os.major(status.st_dev) << 20 | os.minor(status.st_dev)
    return Mount(-1 if number is None else number, dev, b"/", kind)


def _file_system_magic(fd: int) -> int:
    """Return the field f_type of statfs(2), the first word of its structure."""
    buffer = ctypes.create_string_buffer(256)
    check_call(libc().fstatfs(fd, buffer))
    return int.from_bytes(buffer.raw[:4], "little")
