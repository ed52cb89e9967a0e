"""From a directory's handle to its path below a root, as it is now."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hashwacht.platform.fanotify import open_directory
from hashwacht.platform.mounts import Mount

_DELETED = b" (deleted)"
_GONE = frozenset({errno.ESTALE, errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""What is said of a directory that was deleted, or has made room for something else."""
_LONG = "a path of more than 4096 bytes"

_CLIMB = 10_000
"""Directories that are gone through in one batch, some 10 ms, to see which root a path that is too
long for the kernel is in: whoever makes them must not keep the watcher busy."""


@dataclass(frozen=True, slots=True)
class WatchedMount:
    """A root, or a mount below one: *path* and everything below it in this mount.

    *root* is the number of the root in the order in which they were asked for.
    """

    root: int
    path: bytes
    mount: Mount
    fsid: int

    def contains(self, path: bytes) -> bool:
        """Say if *path* is this place or below it."""
        return path == self.path or path.startswith(self.path.rstrip(b"/") + b"/")


class HandlePath(NamedTuple):
    """Where a directory is: its path in a mount, all places there, and the one that it is in."""

    path: bytes
    places: list[WatchedMount]
    place: WatchedMount | None


class HandleResolver:
    """Finds directories; to be used for one batch of events and closed.

    Within a batch every directory is looked for once.  If one is renamed after that, its own
    event is still to come, so nothing is lost; kept for longer, paths would be wrong.
    """

    def __init__(self, places: Sequence[WatchedMount]) -> None:
        """Find directories in *places*."""
        self._places: dict[int, dict[int, list[WatchedMount]]] = {}
        for each in sorted(places, key=lambda place: -len(place.path)):
            self._places.setdefault(each.fsid, {}).setdefault(each.mount.id, []).append(each)
        self._anchors: dict[int, int] = {}
        self._climbed = 0
        self.unresolved: dict[int, str] = {}
        """Roots that a directory is in, or may be in, whose path cannot be had; and why."""
        self._found: dict[tuple[int, bytes], list[HandlePath]] = {}

    def resolve(self, fsid: int, handle: bytes) -> list[HandlePath]:
        """Say where a directory is in each mount."""
        found = self._found.get((fsid, handle))
        if found is None:
            found = self._found[fsid, handle] = [
                HandlePath(
                    path, places, next((each for each in places if each.contains(path)), None)
                )
                for places in self._places.get(fsid, {}).values()
                if (path := self._path(places, handle)) is not None
            ]
        return found

    def close(self) -> None:
        """Let go of the mounts, so that they can be unmounted."""
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
            self._note(self._above(fd, places), error)
            return None
        finally:
            os.close(fd)
        return None if gone else path

    def _above(self, fd: int, places: list[WatchedMount]) -> list[WatchedMount]:
        """Climb from a directory; give the places passed, or all if that cannot be told."""
        try:
            known = {_number(os.stat(each.path)): each for each in places}  # noqa: PTH116  (bytes)
            return [known[each] for each in self._upwards(fd) if each in known]
        except OSError:
            return places

    def _upwards(self, fd: int) -> Iterator[tuple[int, int]]:
        """Give the numbers of a directory and of all above it.  Raises OSError."""
        above, number = os.dup(fd), _number(os.fstat(fd))
        try:
            while True:
                yield number
                self._climbed += 1
                if self._climbed > _CLIMB:
                    raise OSError(errno.E2BIG, _LONG)
                below, above = above, os.open("..", os.O_PATH | os.O_CLOEXEC, dir_fd=above)
                os.close(below)
                last, number = number, _number(os.fstat(above))
                if last == number:
                    return
        finally:
            os.close(above)

    def _note(self, places: list[WatchedMount], error: OSError) -> None:
        why = _LONG if error.errno == errno.ENAMETOOLONG else error.strerror or str(error)
        self.unresolved.update((each.root, why) for each in places)

    def _anchor(self, places: list[WatchedMount]) -> int:
        """Open any directory in the mount of these places; -1 if none is there.  Raises OSError."""
        mount = places[0].mount.id
        if mount not in self._anchors:
            self._anchors[mount] = next((fd for each in places if (fd := _open(each)) >= 0), -1)
        return self._anchors[mount]


def _number(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _open(place: WatchedMount) -> int:
    """Open a place; -1 if something else is there now.  Raises OSError."""
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
