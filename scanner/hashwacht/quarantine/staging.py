"""The staging directory: a private directory next to a file while it is sealed or restored.

It is in the same directory as the file because only there a rename is certain to work; between
two directories it may cross a mount, a subvolume or a quota project (EXDEV), and permission to
rename the file implies permission to create a directory next to it.  The owner sees
``.hashwacht-`` and an id for a moment, mode 0700, which only the owner of the parent can rename.
Therefore the directory is held by its descriptor, and found by its content after a crash.
Programs that list the directory see one more hidden name.  The name alone proves nothing, because
anyone may create a directory of that name; files in such a decoy are checked like all others.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress

from hashwacht.platform.atomic import sync_directory_fd
from hashwacht.platform.safe_open import OpenDirectory
from hashwacht.platform.syscalls import rename_no_replace

STAGING_PREFIX = b".hashwacht-"

_NAME_BYTES = 200
"""Bytes of a file's name that leave room for the prefix and an id within 255 bytes."""

_UNSUPPORTED = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
"""Errors of rename_no_replace on file systems that do not support it."""


class StagingDirectory:
    """The staging directory of the entry *id*; the one file in it has that id as its name."""

    def __init__(self, parent: OpenDirectory, here: OpenDirectory, name: bytes, id_: str) -> None:
        """Take ownership of *here*, which is open and has *name* in *parent*."""
        self._parent, self.here, self.name = parent, here, name
        self.inside = id_.encode("ascii")

    @classmethod
    def create(cls, parent: OpenDirectory, id_: str) -> StagingDirectory:
        """Create and open it.  Raises OSError; ESTALE if it was swapped for another directory."""
        name = STAGING_PREFIX + id_.encode("ascii")
        return cls(parent, make_directory(parent, name), name, id_)

    @classmethod
    def find(
        cls, parent: OpenDirectory, id_: str, file: tuple[int, int]
    ) -> StagingDirectory | None:
        """Find it after a crash, even if it was renamed.

        The one with *file* in it wins.  Failing that, one that this user owns and no other user can
        have made: with another file in it or, under its own name, empty.
        """
        own, fallback = STAGING_PREFIX + id_.encode("ascii"), None
        for name in (own, *_directories(parent)):
            if (candidate := cls._open(parent, name, id_)) is None:
                continue
            content = candidate.file_id()
            if content == file:
                if fallback is not None:
                    fallback.here.close()
                return candidate
            is_ours = os.fstat(candidate.here.fd).st_uid == os.geteuid()
            if fallback is None and is_ours and (content is not None or name == own):
                fallback = candidate
            else:
                candidate.here.close()
        return fallback

    @classmethod
    def _open(cls, parent: OpenDirectory, name: bytes, id_: str) -> StagingDirectory | None:
        try:
            return cls(parent, parent.directory(name), name, id_)
        except OSError:
            return None

    def file_id(self) -> tuple[int, int] | None:
        """Return device and inode number of the file in it; None if it is empty."""
        return file_id(self.here, self.inside)

    def move_in(self, name: bytes) -> None:
        """Move the file *name* of the parent in here.  Raises OSError if nothing was moved.

        A plain rename is as safe here: no other user can put a file into this directory.
        """
        try:
            rename_no_replace(self._parent.fd, name, self.here.fd, self.inside)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            os.rename(  # the customer's file itself: no atomic write
                name, self.inside, src_dir_fd=self._parent.fd, dst_dir_fd=self.here.fd
            )

    def move_out(self, name: bytes) -> None:
        """Move the file from here to *name* in the parent, never replacing anything.

        Raises OSError; FileExistsError if the name is taken.  On a file system without
        rename_no_replace, a hard link gives the same guarantee.
        """
        try:
            rename_no_replace(self.here.fd, self.inside, self._parent.fd, name)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            os.link(
                self.inside,
                name,
                src_dir_fd=self.here.fd,
                dst_dir_fd=self._parent.fd,
                follow_symlinks=False,
            )
            os.unlink(self.inside, dir_fd=self.here.fd)

    def move_back(self, name: bytes) -> bytes:
        """Move the file to *name*, or to a name derived from it if that is taken.

        Returns the name.  Raises OSError if the file is still here.
        """
        try:
            self.move_out(name)
        except FileExistsError:
            name = name[:_NAME_BYTES] + STAGING_PREFIX + self.inside
            self.move_out(name)
        return name

    def create_file(self) -> int:
        """Create the file in it, empty, mode 0600, open for reading and writing."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(self.inside, flags, 0o600, dir_fd=self.here.fd)

    def remove_file(self) -> None:
        """Remove the file in it, if there is one.  Raises OSError."""
        with suppress(FileNotFoundError):
            os.unlink(self.inside, dir_fd=self.here.fd)

    def sync(self) -> None:
        """Make renames durable in both directories."""
        sync_directory_fd(self.here.fd)
        sync_directory_fd(self._parent.fd)

    def remove(self) -> None:
        """Remove the empty directory; it stays if the owner of the parent has renamed it."""
        if file_id(self._parent, self.name) != self.here.id:
            return
        try:
            os.rmdir(self.name, dir_fd=self._parent.fd)
        except FileNotFoundError:
            return
        sync_directory_fd(self._parent.fd)


def make_directory(parent: OpenDirectory, name: bytes) -> OpenDirectory:
    """Create and open a directory, 0700 whatever the umask and the parent's default ACL.

    Raises OSError; ESTALE if it was swapped for another directory.
    """
    os.mkdir(name, 0o700, dir_fd=parent.fd)
    directory = parent.directory(name)
    if os.fstat(directory.fd).st_uid != os.geteuid() or os.listdir(directory.fd):  # noqa: PTH208  # a descriptor
        directory.close()
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
    os.fchmod(directory.fd, 0o700)
    return directory


def file_id(directory: OpenDirectory, name: bytes) -> tuple[int, int] | None:
    """Return device and inode number of *name* in *directory*; None if there is no such name."""
    try:
        status = os.stat(name, dir_fd=directory.fd, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _directories(parent: OpenDirectory) -> list[bytes]:
    """Return the names of the directories in *parent*; none if it cannot be listed."""
    try:
        with parent.directory(b".") as listed, os.scandir(listed.fd) as entries:
            return [
                os.fsencode(entry.name) for entry in entries if entry.is_dir(follow_symlinks=False)
            ]
    except OSError:
        return []
