"""What a root stands on: which directory it is, and what is mounted at and below it.

Two looks at it tell if the watch still watches what has the root's name.  No descriptor is kept:
it would keep an administrator from unmounting the file system.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from hashwacht.core.watch_events import Cause, MissedEvents, Root
from hashwacht.platform.mounts import Mount, Mounts


@dataclass(frozen=True, slots=True)
class RootState:
    """A root as it was at one time.

    *dev* and *ino* are the directory's, *mount* is the one it lies in, *below* are the mounts
    below it, the outer ones first; *pseudo* are the points of those that hold nobody's files.
    """

    dev: int
    ino: int
    mount: Mount
    below: tuple[Mount, ...]
    pseudo: frozenset[bytes]


def read_root_state(root: Root, mounts: Mounts) -> RootState | None:
    """Look at *root*; None if there is no directory, or a link leads there."""
    try:
        if os.path.realpath(root.path) != root.path:
            return None
        found = os.lstat(root.path)
    except OSError:
        return None
    here, below = mounts.at(root.path), mounts.below(root.path)
    if here is None or not stat.S_ISDIR(found.st_mode):
        return None
    return RootState(
        found.st_dev,
        found.st_ino,
        here,
        tuple(each for each in below if not each.pseudo),
        frozenset(each.point for each in below if each.pseudo),
    )


def root_change(root: Root, before: RootState | None, now: RootState | None) -> MissedEvents | None:
    """Say if another directory has the root's name now, or none; None if it is the same."""
    if now is None:
        return MissedEvents(root.name, Cause.UNMOUNTED, "the directory is not there")
    if before is None:
        return MissedEvents(root.name, Cause.UNMOUNTED, "the directory was not there")
    if before.dev != now.dev or before.mount.id != now.mount.id:
        return MissedEvents(root.name, Cause.UNMOUNTED, "another file system is there now")
    if before.ino != now.ino:
        return MissedEvents(root.name, Cause.REPLACED, "another directory has its name now")
    return None


def network_mounts(root: Root, now: RootState) -> list[MissedEvents]:
    """Name the network file systems at and below *root*: nothing there is sure to be announced."""
    places = [(now.mount, b""), *((each, each.point) for each in now.below)]
    return [
        MissedEvents(
            root.name, Cause.REMOTE, f"{each.kind}: what others write is not announced", path
        )
        for each, path in places
        if each.remote
    ]
