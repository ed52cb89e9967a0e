"""Files with many kinds of attributes, and snapshots of them to compare."""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hashwacht.quarantine.failures import ActionFailure
from hashwacht.quarantine.record import EntryRecord
from hashwacht.quarantine.restore import RestoreRequest
from hashwacht.quarantine.vault import Vault

_UNDEFINED_ID = 0xFFFF_FFFF
_OWNER, _USER, _GROUP, _MASK, _OTHER = 1, 2, 4, 16, 32


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a restore must reproduce: everything except the access time, which reading changes."""

    content: str
    size: int
    mode: int
    owner: tuple[int, int]
    mtime_ns: int
    xattrs: tuple[tuple[str, bytes], ...]

    @classmethod
    def of(cls, path: Path | bytes) -> Snapshot:
        """Return the snapshot of a regular file."""
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            status = os.fstat(fd)
            with os.fdopen(os.dup(fd), "rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            xattrs = tuple((name, os.getxattr(fd, name)) for name in sorted(os.listxattr(fd)))
        finally:
            os.close(fd)
        mode, owner = stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid)
        return cls(content, status.st_size, mode, owner, status.st_mtime_ns, xattrs)


def access_list(user: int = 1000) -> bytes:
    """Return an access list as the kernel stores it: the owner may read and write, *user* read.

    The form is that of include/uapi/linux/posix_acl_xattr.h; its mode is 0640.
    """
    entries = [
        (_OWNER, 6, _UNDEFINED_ID),
        (_USER, 4, user),
        (_GROUP, 4, _UNDEFINED_ID),
        (_MASK, 4, _UNDEFINED_ID),
        (_OTHER, 0, _UNDEFINED_ID),
    ]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def dress(path: Path | bytes, mode: int = 0o640) -> None:
    """Set an owner, a mode, times and attributes as unusual as this user may set."""
    for name, value in (
        ("user.\xe4\n", b"\x00\xff"),
        ("user.empty", b""),
        ("trusted.hashwacht", b"only root sees it"),
        ("security.hashwacht", b"a label"),
        ("system.posix_acl_access", access_list()),
    ):
        with suppress(OSError):  # unsupported by the file system or not permitted
            os.setxattr(path, name, value)
    if os.geteuid() == 0:
        os.chown(path, 12345, 54321)
    os.chmod(path, mode)  # noqa: PTH101  # no path of ours
    os.utime(path, ns=(1_234_567_890_123_456_789, 987_654_321_987_654_321))


def judge(path: Path | bytes) -> tuple[int, str]:
    """Open a file and hash it, as the pipeline does; the caller closes the descriptor."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    return fd, key_of(fd)


def key_of(fd: int) -> str:
    """Return the SHA-256 of an open file."""
    with os.fdopen(os.dup(fd), "rb") as file:
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal(vault: Vault, path: Path | bytes) -> EntryRecord:
    """Seal the file at *path*; fail the test if that fails."""
    fd, key = judge(path)
    try:
        sealed = vault.quarantine(fd, os.fsencode(path), key, {"case": 7})
    finally:
        os.close(fd)
    assert isinstance(sealed, EntryRecord), sealed
    return sealed


def restore(
    vault: Vault,
    id_: str,
    secrets: Sequence[str],
    *,
    who: str,
    why: str = "",
    to: bytes | None = None,
    make_parents: bool = False,
) -> EntryRecord | ActionFailure:
    """Restore a sealed file to its path or to *to*."""
    return vault.restore(id_, RestoreRequest(why, secrets, to, make_parents), who)


def names(directory: Path) -> list[str]:
    """Return all names below a directory, sorted."""
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))
