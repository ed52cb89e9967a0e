"""From a directory's handle to its path below a root, as it is now."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from hashwacht.intake.fanotify import open_directory
from hashwacht.intake.mounts import Mount

_DELETED = b" (deleted)"


@dataclass(frozen=True, slots=True)
class Place:
    """A root, or a mount below one: *path* and everything below it in this mount.

    *root* is the number of the root in the order in which they were asked for.
    """

    root: int
    path: bytes
    mount: Mount
    fsid: int

    def holds(self, path: bytes) -> bool:
        """Say if *path* is this place or below it."""
        return path == self.path or path.startswith(self.path.rstrip(b"/") + b"/")


class Finder:
    """Finds directories; to be used for one batch of events and closed.

    Within a batch every directory is looked for once.  If one is renamed after that, its own
    event is still to come, so nothing is lost; kept for longer, paths would be wrong.
    """

    def __init__(self, places: Sequence[Place]) -> None:
        """Find directories in *places*."""
        self._places: dict[int, dict[int, list[Place]]] = {}
        for each in sorted(places, key=lambda place: -len(place.path)):
            self._places.setdefault(each.fsid, {}).setdefault(each.mount.id, []).append(each)
        self._anchors: dict[int, int] = {}
        self.unnamed: set[int] = set()
        """Roots in the mount of a directory whose path is longer than the kernel tells."""
        self._found: dict[tuple[int, bytes], list[tuple[bytes, list[Place]]]] = {}

    def find(self, fsid: int, handle: bytes) -> list[tuple[bytes, list[Place]]]:
        """Give the paths of a directory, one in each mount, with the places in that mount."""
        found = self._found.get((fsid, handle))
        if found is None:
            found = self._found[fsid, handle] = [
                (path, places)
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

    def _path(self, places: list[Place], handle: bytes) -> bytes | None:
        anchor = self._anchor(places)
        if anchor < 0:
            return None
        try:
            fd = open_directory(anchor, handle)
        except OSError:  # ESTALE: it was deleted
            return None
        try:
            path = os.readlink(b"/proc/self/fd/%d" % fd)  # noqa: PTH115  (names are bytes)
            gone = path.endswith(_DELETED) and os.fstat(fd).st_nlink == 0
        except OSError:  # ENAMETOOLONG: PATH_MAX is 4096
            self.unnamed.update(each.root for each in places)
            return None
        finally:
            os.close(fd)
        return None if gone else path

    def _anchor(self, places: list[Place]) -> int:
        """Open any directory in the mount of these places; -1 if none is there."""
        mount = places[0].mount.id
        if mount not in self._anchors:
            self._anchors[mount] = next((fd for each in places if (fd := _open(each)) >= 0), -1)
        return self._anchors[mount]


def _open(place: Place) -> int:
    """Open a place, unless something else is there now."""
    with suppress(OSError):
        fd = os.open(place.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        if os.fstatvfs(fd).f_fsid == place.fsid:
            return fd
        os.close(fd)
    return -1
