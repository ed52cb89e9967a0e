"""Files that survive a power cut: the old content, the new content, never a part of one."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW = ".new"
"""Suffix of a temporary file."""
_TEMPORARY = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


def write(
    path: Path,
    content: bytes,
    *,
    mode: int = 0o600,
    durable: bool = True,
    temporary: str = "",
    dir_fd: int | None = None,
    prepare: Callable[[int], None] | None = None,
) -> None:
    """Replace the file *path*: write to a temporary file, flush it, rename it, flush the directory.

    Readers, and what a crash leaves, have the old or the new content.  *path* may be relative to
    *dir_fd*.  The temporary file is *temporary* in the same directory, by default the name with
    ``.new``, which suits a file with one writer at a time; *prepare* gets its descriptor while it
    is empty.  Without *durable* nothing is flushed.  Raises OSError.
    """
    new = path.with_name(temporary or path.name + _NEW)
    fd = os.open(new, _TEMPORARY, mode, dir_fd=dir_fd)
    try:
        with os.fdopen(fd, "wb") as file:
            os.fchmod(fd, mode)  # whatever the umask is
            if prepare is not None:
                prepare(fd)
            file.write(content)
            file.flush()
            if durable:
                os.fsync(fd)
        os.replace(new, path, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(new, dir_fd=dir_fd)
        raise
    if durable:
        sync_directory(path.parent, dir_fd)


def remove_temporary(path: Path) -> None:
    """Remove the temporary file that an interrupted :func:`write` of *path* has left."""
    path.with_name(path.name + _NEW).unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Remove a file durably; it may be gone already."""
    path.unlink(missing_ok=True)
    sync_directory(path.parent)


def make_directory(path: Path) -> None:
    """Make a directory of mode 0700 and its parents durably; it may exist already."""
    if path.is_dir():
        return
    make_directory(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    sync_directory(path.parent)


def sync_directory(path: Path | bytes, dir_fd: int | None = None) -> None:
    """Flush the names in a directory, which may be relative to *dir_fd*, to the disk."""
    fd = os.open(path, _DIRECTORY, dir_fd=dir_fd)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_directory_fd(directory_fd: int) -> None:
    """Do the same for a directory held by a descriptor, also one of O_PATH.

    A directory that may be searched and written to but not listed cannot be flushed: its names
    are then as durable as the file system makes them.
    """
    with suppress(PermissionError):
        sync_directory(b".", directory_fd)


def chown_like_directory(fd: int, path: Path) -> None:
    """Change the owner of the file *path*, open as *fd*, to that of its directory, if we are root.

    A command run by root must not leave a file that the daemon's user cannot write.  SQLite does
    the same with its log (robustFchown in os_unix.c).  Raises OSError.
    """
    if os.geteuid() == 0:
        owner, status = path.parent.stat(), os.fstat(fd)
        if status.st_uid != owner.st_uid:
            os.fchown(fd, owner.st_uid, owner.st_gid)


@dataclass(frozen=True, slots=True)
class Reserve:
    """A file that keeps *size* bytes of space back, so that a full disk can still be recorded.

    On a full disk neither a small record nor SQLite's deleting and checkpointing has room, as all
    of them write first.  Removing a file makes room.
    """

    path: Path
    size: int

    def fill(self) -> bool:
        """Reserve the space unless it is reserved; return False if there is not enough."""
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError:
            return False
        try:
            if os.fstat(fd).st_blocks * 512 < self.size:
                os.posix_fallocate(fd, 0, self.size)
        except OSError:
            self.release()
            return False
        finally:
            os.close(fd)
        return True

    def release(self) -> bool:
        """Free the space; return False if none was reserved."""
        try:
            self.path.unlink()
        except OSError:
            return False
        return True
