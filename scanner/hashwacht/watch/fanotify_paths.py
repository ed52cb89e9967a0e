"""The current path of a directory below a root, resolved from its file handle."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hashwacht.platform.fanotify import open_directory
from hashwacht.platform.filesystems.mounts import Mount

_DELETED = b" (deleted)"
_GONE = frozenset({errno.ESTALE, errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""Errors for a directory that was deleted or replaced."""
_LONG = "a path of more than 4096 bytes"

_MAX_PARENTS = 10_000
"""Parent directories that are opened in one batch, about 10 ms, to find the root of a path that is
too long for the kernel: an attacker must not keep the watcher busy with them."""


@dataclass(frozen=True, slots=True)
class WatchedMount:
    """A root, or a mount below one: *path* and everything below it in this mount.

    *root* is the number of the root in the scanner's order.
    """

    root: int
    path: bytes
    mount: Mount
    fsid: int

    def contains(self, path: bytes) -> bool:
        """Return whether *path* is this place or below it."""
        return path == self.path or path.startswith(self.path.rstrip(b"/") + b"/")


class HandlePath(NamedTuple):
    """The path of a directory in a mount, all watched places there, and the one it is in."""

    path: bytes
    places: list[WatchedMount]
    place: WatchedMount | None


class HandleResolver:
    """Resolves the directories of one batch of events.

    Within a batch every directory is resolved once.  If it is renamed after that, the event of
    the rename is still to come, so nothing is lost; a longer cache would return wrong paths.
    """

    def __init__(self, places: Sequence[WatchedMount]) -> None:
        self._places: dict[int, dict[int, list[WatchedMount]]] = {}
        for each in sorted(places, key=lambda place: -len(place.path)):
            self._places.setdefault(each.fsid, {}).setdefault(each.mount.id, []).append(each)
        self._anchors: dict[int, int] = {}
        self._parents_opened = 0
        self.unresolved: dict[int, str] = {}
        """Roots that contain, or may contain, a directory without a known path; and why."""
        self._resolved: dict[tuple[int, bytes], list[HandlePath]] = {}

    def resolve(self, fsid: int, handle: bytes) -> list[HandlePath]:
        """Return the path of a directory in each mount."""
        paths = self._resolved.get((fsid, handle))
        if paths is None:
            paths = self._resolved[fsid, handle] = []
            for places in self._places.get(fsid, {}).values():
                if (path := self._path(places, handle)) is not None:
                    place = next((place for place in places if place.contains(path)), None)
                    paths.append(HandlePath(path, places, place))
        return paths

    def close(self) -> None:
        """Close the mounts, so that they can be unmounted."""
        for fd in self._anchors.values():
            if fd >= 0:
                os.close(fd)
        self._anchors = {}

    def _path(self, places: list[WatchedMount], handle: bytes) -> bytes | None:
        try:
            anchor = self._anchor(places)
            if anchor < 0:
                return None
            fd = open_directory(anchor, handle)
        except OSError as error:
            if error.errno not in _GONE:
                self._note(places, error)
            return None
        try:
            path = os.readlink(b"/proc/self/fd/%d" % fd)  # noqa: PTH115  (names are bytes)
            gone = path.endswith(_DELETED) and os.fstat(fd).st_nlink == 0
        except OSError as error:  # PATH_MAX is 4096
            self._note(self._containing(fd, places), error)
            return None
        finally:
            os.close(fd)
        return None if gone else path

    def _containing(self, fd: int, places: list[WatchedMount]) -> list[WatchedMount]:
        """Return the places that contain a directory, or all if that cannot be found out."""
        try:
            known = {_identity(os.stat(each.path)): each for each in places}  # noqa: PTH116  (bytes)
            return [known[each] for each in self._with_parents(fd) if each in known]
        except OSError:
            return places

    def _with_parents(self, fd: int) -> Iterator[tuple[int, int]]:
        """Yield the identities of a directory and of all above it.  Raises OSError."""
        above, number = os.dup(fd), _identity(os.fstat(fd))
        try:
            while True:
                yield number
                self._parents_opened += 1
                if self._parents_opened > _MAX_PARENTS:
                    raise OSError(errno.E2BIG, _LONG)
                below, above = above, os.open("..", os.O_PATH | os.O_CLOEXEC, dir_fd=above)
                os.close(below)
                last, number = number, _identity(os.fstat(above))
                if last == number:
                    return
        finally:
            os.close(above)

    def _note(self, places: list[WatchedMount], error: OSError) -> None:
        detail = _LONG if error.errno == errno.ENAMETOOLONG else error.strerror or str(error)
        self.unresolved.update((place.root, detail) for place in places)

    def _anchor(self, places: list[WatchedMount]) -> int:
        """Open any of these places, which share a mount; -1 if none exists.  Raises OSError."""
        mount = places[0].mount.id
        if mount not in self._anchors:
            self._anchors[mount] = next((fd for each in places if (fd := _open(each)) >= 0), -1)
        return self._anchors[mount]


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _open(place: WatchedMount) -> int:
    """Open a place; -1 if it has been replaced.  Raises OSError."""
    try:
        fd = os.open(place.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _GONE:
            return -1
        raise
    if os.fstatvfs(fd).f_fsid == place.fsid:
        return fd
    os.close(fd)
    return -1
