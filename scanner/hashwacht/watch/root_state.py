"""The state of a root: which directory it is, and what is mounted at and below it.

Comparing two states shows whether the watch still covers the directory at the root's path.  No
descriptor is kept open: it would keep an administrator from unmounting the file system.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass

from hashwacht.core.watch_events import Cause, MissedEvents, Root
from hashwacht.platform.filesystems.mounts import Mount, Mounts


@dataclass(frozen=True, slots=True)
class RootState:
    """A root at one time.

    *dev* and *ino* are those of the directory, *mount* contains it, *below* are the mounts below
    it, the outer ones first; *pseudo* are the mount points of pseudo file systems.
    """

    dev: int
    ino: int
    mount: Mount
    below: tuple[Mount, ...]
    pseudo: frozenset[bytes]


def read_root_state(root: Root, mounts: Mounts) -> RootState | None:
    """Return the state of *root*; None if it is not a directory, or reached through a link."""
    try:
        if os.path.realpath(root.path) != root.path:
            return None
        status = os.lstat(root.path)
        here, below = mounts.at(root.path), mounts.below(root.path)
    except OSError:
        return None
    if not stat.S_ISDIR(status.st_mode):
        return None
    return RootState(
        status.st_dev,
        status.st_ino,
        here,
        tuple(each for each in below if not each.pseudo),
        frozenset(each.point for each in below if each.pseudo),
    )


def root_change(root: Root, before: RootState | None, now: RootState | None) -> MissedEvents | None:
    """Return a gap if another directory, or none, is at the root's path; None if it is the same."""
    if now is None:
        return MissedEvents(root.name, Cause.UNMOUNTED, "the directory is not there")
    if before is None:
        return MissedEvents(root.name, Cause.UNMOUNTED, "the directory was not there")
    if before.dev != now.dev or before.mount.id != now.mount.id:
        return MissedEvents(root.name, Cause.UNMOUNTED, "another file system is there now")
    if before.ino != now.ino:
        return MissedEvents(root.name, Cause.REPLACED, "another directory has its name now")
    return None


def network_mounts(
    root: Root, now: RootState, before: RootState | None = None
) -> list[MissedEvents]:
    """Return a gap for each network file system at and below *root*: other machines' writes.

    Those that were there *before* are left out.
    """
    known = set() if before is None else set(network_mounts(root, before))
    missed = []
    for mount, path in [(now.mount, b""), *((mount, mount.point) for mount in now.below)]:
        if mount.remote:
            detail = f"{mount.kind}: what others write is not announced"
            missed.append(MissedEvents(root.name, Cause.REMOTE, detail, path))
    return [each for each in missed if each not in known]


def root_refused(root: Root, error: OSError) -> MissedEvents:
    """Return the gap of a root that the kernel refuses to watch."""
    if error.errno in {errno.ENOSPC, errno.EMFILE, errno.ENOMEM}:
        limit = "fs.inotify.max_user_watches or max_user_instances"
        return MissedEvents(root.name, Cause.WATCH_LIMIT, f"the root itself has no watch ({limit})")
    return MissedEvents(root.name, Cause.UNLISTED, error.strerror or str(error))
