"""The mounts of this process, from /proc/self/mountinfo (proc_pid_mountinfo(5))."""

from __future__ import annotations

import os
import re
import select
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

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

_OCTAL = re.compile(rb"\\([0-7]{3})")


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

    def at(self, path: bytes) -> Mount | None:
        """Return the mount that contains *path*."""
        while path not in self._all:
            if path in {b"/", b""}:
                return None
            path = os.path.split(path)[0]
        return self._all[path]

    def below(self, path: bytes) -> list[Mount]:
        """Return the mounts below *path*, outer ones first."""
        prefix = path.rstrip(b"/") + b"/"
        inside = (mount for point, mount in self._all.items() if point.startswith(prefix))
        return sorted((m for m in inside if m.point != path), key=lambda mount: mount.point)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._fd)


def is_remote(path: bytes) -> bool:
    """Return whether *path* is on a file system whose changes are not all announced here."""
    with closing(Mounts()) as mounts:
        here = mounts.at(path)
    return here is not None and here.remote
