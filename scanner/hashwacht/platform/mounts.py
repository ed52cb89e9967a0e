"""What is mounted where, as /proc/self/mountinfo tells it (proc_pid_mountinfo(5))."""

from __future__ import annotations

import os
import re
import select
from collections.abc import Iterator
from dataclasses import dataclass

_REMOTE = frozenset(
    (
        *("9p", "afs", "beegfs", "ceph", "cifs", "coda", "fuse", "gfs2", "glusterfs", "gpfs"),
        *("lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "prl_fs", "pvfs2", "smb3"),
        *("smbfs", "vboxsf", "virtiofs", "vmhgfs"),
    )
)
"""Kinds on which somebody else than this machine's kernel may write.  Of a FUSE file system
nobody knows what is behind it; those that are known to be local are named below."""

_LOCAL_FUSE = frozenset({"fuse.bindfs", "fuse.fuse-overlayfs", "fuse.mergerfs", "fuse.ntfs-3g"})

_PSEUDO = frozenset(
    (
        *("autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts"),
        *("devtmpfs", "efivarfs", "fusectl", "hugetlbfs", "mqueue", "nsfs", "proc", "pstore"),
        *("rpc_pipefs", "securityfs", "selinuxfs", "sysfs", "tracefs"),
    )
)
"""Kinds that hold no files of anybody."""

_OCTAL = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount: its number (never the same for two at a time), where it is, and its kind.

    *dev* is the number of its file system as the kernel writes it: the major one shifted by 20
    bits, and the minor one.
    """

    id: int
    dev: int
    point: bytes
    kind: str

    @property
    def remote(self) -> bool:
        """True if what other machines write is never announced here."""
        family = self.kind.partition(".")[0]
        return family in _REMOTE and self.kind not in _LOCAL_FUSE

    @property
    def pseudo(self) -> bool:
        """True if it holds no files of anybody (proc, sysfs, ...)."""
        return self.kind in _PSEUDO


def parse(text: bytes) -> Iterator[Mount]:
    """Read the lines of mountinfo; later ones are mounted over earlier ones."""
    for line in text.splitlines():
        before, _, after = line.partition(b" - ")
        fields = before.split(b" ")
        point = _OCTAL.sub(lambda found: bytes([int(found[1], 8)]), fields[4])
        major, _, minor = fields[2].partition(b":")
        dev = int(major) << 20 | int(minor)
        yield Mount(int(fields[0]), dev, point, after.split(b" ")[0].decode("ascii", "replace"))


class Mounts:
    """The mounts of this process; asks the kernel again only after something has changed."""

    def __init__(self, path: str = "/proc/self/mountinfo") -> None:
        """Open *path* and read it for the first time.  Raises OSError."""
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLPRI)
        self._all: dict[bytes, Mount] = {}
        self.refresh()

    def fileno(self) -> int:
        """Give the descriptor, which has urgent input (POLLPRI) after a change."""
        return self._fd

    def refresh(self, *, told: bool = False) -> bool:
        """Read anew if something may have changed; say if it has.

        *told*: whoever polled the descriptor was told so, and the kernel tells it only once.
        """
        if self._all and not told and not self._poll.poll(0):
            return False
        with open(self._fd, "rb", closefd=False) as file:
            file.seek(0)
            found = {each.point: each for each in parse(file.read())}
        changed = found != self._all
        self._all = found
        return changed

    def at(self, path: bytes) -> Mount | None:
        """Give the mount in which *path* lies."""
        while path not in self._all:
            if path in {b"/", b""}:
                return None
            path = os.path.split(path)[0]
        return self._all[path]

    def below(self, path: bytes) -> list[Mount]:
        """Give the mounts whose points lie below *path*, the outer ones first."""
        prefix = path.rstrip(b"/") + b"/"
        inside = (each for point, each in self._all.items() if point.startswith(prefix))
        return sorted((each for each in inside if each.point != path), key=lambda each: each.point)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)


def is_remote(path: bytes) -> bool:
    """Say if *path* lies on a file system of which not everything is announced here."""
    mounts = Mounts()
    try:
        here = mounts.at(path)
    finally:
        mounts.close()
    return here is not None and here.remote
