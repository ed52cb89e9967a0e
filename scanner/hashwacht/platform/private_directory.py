"""A directory that only its owner can read, and files that were never readable by others.

Everything is reached by descriptor and created with its final mode: a hash list is readable at no
time, and no name can be replaced by a symbolic link.  Files created by root in a directory of the
scanner's user belong to that user, or the service could not read a list imported by root.
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
"""Suffix of a file that is being written; a later process may remove it."""


class PrivateDirectory:
    """One directory of mode 0700, held open.  Every method may raise OSError."""

    def __init__(self, fd: int, path: Path, owner: os.stat_result) -> None:
        """Take over *fd*; *path* is for messages; new files belong to *owner*."""
        self.fd, self.path, self._owner = fd, path, owner

    @classmethod
    def open_path(cls, path: Path) -> PrivateDirectory:
        """Open a directory, creating it and its parents if they are missing."""
        for directory in (*reversed(path.parents), path):
            directory.mkdir(DIRECTORY_MODE, exist_ok=True)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return cls(fd, path, os.fstat(fd))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    def is_writable_by_others(self) -> bool:
        """Return whether others may write to the directory, and so replace its files."""
        return bool(self._owner.st_mode & 0o022)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of the directory; it ends with the process."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open("lock", flags, FILE_MODE, dir_fd=self.fd)
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
        """Return whether the process that created this sub-directory still uses it."""
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

    @contextmanager
    def temporary_file(self) -> Iterator[BinaryIO]:
        """Create a file for reading and writing, and remove it at the end."""
        name = f"{secrets.token_hex(8)}{PARTIAL}"
        try:
            with self.create(name) as file:
                yield file
        finally:
            self.discard(name)

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
        """Return the names in the directory, sorted."""
        return sorted(os.listdir(self.fd))  # noqa: PTH208  # a path has no descriptor

    def sync(self) -> None:
        """Flush the names in the directory to the disk."""
        os.fsync(self.fd)

    def _open_directory(self, name: str) -> int:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(name, flags, dir_fd=self.fd)

    def _chown(self, fd: int) -> None:
        """Change the owner of a file created by root to that of the directory."""
        if os.geteuid() == 0 and self._owner.st_uid != 0:
            os.fchown(fd, self._owner.st_uid, self._owner.st_gid)


def is_accessible_to_others(stat: os.stat_result) -> bool:
    """Return whether anyone but the owner may read or change it."""
    return bool(stat.st_mode & 0o077)
