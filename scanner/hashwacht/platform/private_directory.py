"""A directory that only its owner can read, and files that never were readable by others.

Everything is reached by descriptor and created with its final mode, so that there is no
moment in which a hash list lies open, and no name that somebody could swap for a symlink.
Run by root on a directory that belongs to the scanner's user, what is created belongs to that
user too: else a list imported by root could not be read by the service.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, Self

from hashwacht.platform import atomic
from hashwacht.platform.locks import lock

DIRECTORY_MODE = 0o700
FILE_MODE = 0o600
PARTIAL = ".partial"
"""The end of the name of a file that is being written and may be removed if found later."""

_NOBODY_ELSE = 0o077
_OTHERS_WRITE = 0o022
_LOCK = "lock"


class PrivateDirectory:
    """One directory of mode 0700, held open.  Every method may raise OSError."""

    def __init__(self, fd: int, path: Path, owner: os.stat_result) -> None:
        """Take over *fd*; *path* is only shown; what is created goes to *owner*."""
        self.fd = fd
        self.path = path
        self._owner = owner

    @classmethod
    def open_path(cls, path: Path) -> PrivateDirectory:
        """Open a directory, creating it and its parents if they are missing."""
        for each in (*reversed(path.parents), path):
            each.mkdir(DIRECTORY_MODE, exist_ok=True)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return cls(fd, path, os.fstat(fd))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    def is_writable_by_others(self) -> bool:
        """Tell if others, who could then swap what is in it, may change the directory."""
        return bool(self._owner.st_mode & _OTHERS_WRITE)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out of the same block; the lock dies with its process."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(_LOCK, flags, FILE_MODE, dir_fd=self.fd)
        try:
            self._chown(fd)
            lock(fd)
            yield
        finally:
            os.close(fd)

    def create_directory(self, name: str) -> PrivateDirectory:
        """Create a sub-directory, locked as being in use until it is closed."""
        os.mkdir(name, DIRECTORY_MODE, dir_fd=self.fd)
        directory = PrivateDirectory(self._open_directory(name), self.path / name, self._owner)
        self._chown(directory.fd)
        lock(directory.fd)
        return directory

    def in_use(self, name: str) -> bool:
        """Tell if the process that made this sub-directory is still at work in it."""
        fd = self._open_directory(name)
        try:
            return not lock(fd, timeout=0)
        finally:
            os.close(fd)

    def create(self, name: str) -> BinaryIO:
        """Create a file of mode 0600 for reading and writing; it must not exist."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(name, flags, FILE_MODE, dir_fd=self.fd)
        self._chown(fd)
        return os.fdopen(fd, "w+b")

    def open(self, name: str) -> BufferedReader:
        """Open a file for reading."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.fdopen(os.open(name, flags, dir_fd=self.fd), "rb")

    def replace(self, name: str, content: bytes) -> None:
        """Write a file so that readers, and a crash, find the old or the new content."""
        partial = f"{name}.{secrets.token_hex(4)}{PARTIAL}"
        atomic.write(Path(name), content, temporary=partial, dir_fd=self.fd, prepare=self._chown)

    def discard(self, name: str) -> None:
        """Remove a file or a sub-directory with all its files, if it is there."""
        try:
            os.unlink(name, dir_fd=self.fd)
        except FileNotFoundError:
            return
        except (IsADirectoryError, PermissionError):
            shutil.rmtree(name, dir_fd=self.fd)

    def names(self) -> list[str]:
        """List what lies in the directory, sorted."""
        return sorted(os.listdir(self.fd))  # noqa: PTH208  # a path has no descriptor

    def sync(self) -> None:
        """Make the names in the directory survive a power cut."""
        os.fsync(self.fd)

    def _open_directory(self, name: str) -> int:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(name, flags, dir_fd=self.fd)

    def _chown(self, fd: int) -> None:
        """Hand what root created to the owner of the directory."""
        if os.geteuid() == 0 and self._owner.st_uid != 0:
            os.fchown(fd, self._owner.st_uid, self._owner.st_gid)


def is_accessible_to_others(stat: os.stat_result) -> bool:
    """Tell if anybody but the owner may read or change it."""
    return bool(stat.st_mode & _NOBODY_ELSE)
