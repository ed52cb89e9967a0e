"""A directory of ours beside a file, 0700, for the moments between its taking and its sealing.

Why there: only within one directory is a rename certain to work.  Between two it may cross a
mount, a subvolume or a quota project (EXDEV), and whoever may rename the file may also make a
directory beside it.  What its owner sees for these moments is ``.hashwacht-`` and an id, which
he can neither enter nor empty; he can rename it, so we hold it by its descriptor, and look for
it by what it contains when we come back after a crash.  Programs that list the directory see
one hidden name more.  The name alone proves nothing: anybody may make a directory of that name,
and what is in it is judged as everything else.
"""

from __future__ import annotations

import errno
import os

from hashwacht.platform.atomic import sync_directory_fd
from hashwacht.platform.safe_open import OpenDirectory
from hashwacht.platform.syscalls import rename_no_replace

STAGING_PREFIX = b".hashwacht-"

_ROOM = 200
"""Bytes of a name that leave room for PREFIX and an id in the 255 that file systems allow."""

_NO_SUCH_PROMISE = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
"""What rename_no_replace gives where the file system cannot do it."""


class StagingDirectory:
    """The directory for the entry *id*; the one file in it has that id as its name."""

    def __init__(self, parent: OpenDirectory, here: OpenDirectory, name: bytes, id_: str) -> None:
        """Take over *here*, which is open and has *name* in *parent*."""
        self._parent, self.here, self.name = parent, here, name
        self.inside = id_.encode("ascii")

    @classmethod
    def create(cls, parent: OpenDirectory, id_: str) -> StagingDirectory:
        """Make it.  Raises OSError; ESTALE if somebody has put another directory in its place."""
        name = STAGING_PREFIX + id_.encode("ascii")
        return cls(parent, make_directory(parent, name), name, id_)

    @classmethod
    def find(
        cls, parent: OpenDirectory, id_: str, file: tuple[int, int]
    ) -> StagingDirectory | None:
        """Find it again, under its own name or whatever name it was given since.

        It is the one with *file* in it.  If none has that: one that belongs to us, as nobody else
        can make one, with another file in it or, under its own name, empty.
        """
        own, second = STAGING_PREFIX + id_.encode("ascii"), None
        for name in (own, *_directories(parent)):
            if (found := cls._open(parent, name, id_)) is None:
                continue
            inside = found.file_id()
            if inside == file:
                if second is not None:
                    second.close()
                return found
            ours = os.fstat(found.here.fd).st_uid == os.geteuid()
            if second is None and ours and (inside is not None or name == own):
                second = found
            else:
                found.close()
        return second

    @classmethod
    def _open(cls, parent: OpenDirectory, name: bytes, id_: str) -> StagingDirectory | None:
        try:
            return cls(parent, parent.directory(name), name, id_)
        except OSError:
            return None

    def file_id(self) -> tuple[int, int] | None:
        """Give device and inode number of the file in it; None if it is empty."""
        return file_id(self.here, self.inside)

    def move_in(self, name: bytes) -> None:
        """Move the file *name* of the parent in here.  Raises OSError; then nothing has moved.

        Without the promise not to replace it is as good here: nobody else can put anything in.
        """
        try:
            rename_no_replace(self._parent.fd, name, self.here.fd, self.inside)
        except OSError as error:
            if error.errno not in _NO_SUCH_PROMISE:
                raise
            os.rename(name, self.inside, src_dir_fd=self._parent.fd, dst_dir_fd=self.here.fd)

    def move_out(self, name: bytes) -> None:
        """Move the file from here to *name* in the parent, never over anything.

        Raises OSError; FileExistsError if the name is taken.  A file system that cannot promise
        not to replace can at least make a link only where nothing is.
        """
        try:
            rename_no_replace(self.here.fd, self.inside, self._parent.fd, name)
        except OSError as error:
            if error.errno not in _NO_SUCH_PROMISE:
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
        """Move the file to *name*, or if that is taken to a name made of it; gives the name.

        Raises OSError; then it is still here.
        """
        try:
            self.move_out(name)
        except FileExistsError:
            name = name[:_ROOM] + STAGING_PREFIX + self.inside
            self.move_out(name)
        return name

    def create_file(self) -> int:
        """Make a new, empty file in it, 0600, open for reading and writing."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(self.inside, flags, 0o600, dir_fd=self.here.fd)

    def remove_file(self) -> None:
        """Remove the file in it; it may be gone already.  Raises OSError."""
        try:
            os.unlink(self.inside, dir_fd=self.here.fd)
        except FileNotFoundError:
            return

    def sync(self) -> None:
        """Make what was moved in or out durable on both sides."""
        sync_directory_fd(self.here.fd)
        sync_directory_fd(self._parent.fd)

    def remove(self) -> None:
        """Remove the empty directory.  If its owner's parent renamed it, an empty name stays."""
        if file_id(self._parent, self.name) != self.here.id:
            return
        try:
            os.rmdir(self.name, dir_fd=self._parent.fd)
        except FileNotFoundError:
            return
        sync_directory_fd(self._parent.fd)

    def close(self) -> None:
        """Give the descriptor back."""
        self.here.close()


def make_directory(parent: OpenDirectory, name: bytes) -> OpenDirectory:
    """Make and open a directory, 0700 whatever the umask and the parent's default access list.

    Raises OSError; ESTALE if somebody has put another directory in its place.
    """
    os.mkdir(name, 0o700, dir_fd=parent.fd)
    made = parent.directory(name)
    if os.fstat(made.fd).st_uid != os.geteuid() or os.listdir(made.fd):  # noqa: PTH208  # a descriptor
        made.close()
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
    os.fchmod(made.fd, 0o700)
    return made


def file_id(directory: OpenDirectory, name: bytes) -> tuple[int, int] | None:
    """Give device and inode number of what has *name* there; None if nothing has."""
    try:
        found = os.stat(name, dir_fd=directory.fd, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _directories(parent: OpenDirectory) -> list[bytes]:
    """Name the directories in *parent*; none if it cannot be listed."""
    try:
        with parent.directory(b".") as listed, os.scandir(listed.fd) as entries:
            found = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return [os.fsencode(name) for name in found]
