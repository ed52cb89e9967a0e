"""The Watch that needs no privilege: inotify, with one kernel watch for each directory.

Each root is watched separately.  Where inotify(7) is ambiguous, too much is announced: a tree that
was moved in is announced as a whole, and after an overflow all directories are compared.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hashwacht.core.watch_events import (
    Announcement,
    Cause,
    Change,
    MissedEvents,
    Root,
    WatchListener,
)
from hashwacht.platform.backoff import Backoff
from hashwacht.platform.filesystems.mounts import Mounts
from hashwacht.platform.filesystems.responsiveness import RESPONSE_PROBE
from hashwacht.watch.directory_tree import WatchedDirectory
from hashwacht.watch.inotify_api import (
    ATTRIBUTES,
    IS_DIRECTORY,
    MODIFY,
    MOVED_FROM,
    MOVED_TO,
    InotifyEvent,
    InotifyInstance,
    WatchDescriptor,
    change_of,
)
from hashwacht.watch.inotify_tree import InotifyTree
from hashwacht.watch.queue import RecentWrites
from hashwacht.watch.root_state import (
    RootState,
    network_mounts,
    read_root_state,
    root_change,
    root_refused,
)

_FULL = "the kernel's queue was full (fs.inotify.max_queued_events)"
_REST_FACTOR = 9
"""After comparing all directories, wait that many times as long as it took."""


class InotifyRoot:
    """Watches one root until it is closed, dies, or the root is not there any more."""

    def __init__(self, root: Root, state: RootState, listener: WatchListener) -> None:
        """Watch all directories of *root* from now on.  Raises OSError."""
        self._root, self._listener = root, listener
        self._overflowed = False
        self.gone = False
        """True if the root is not where it was, so that events at its path are not announced."""
        self._compare_at = 0.0
        self._changed_points: set[bytes] = set()
        self._writes = RecentWrites()
        self._inotify = InotifyInstance(self)
        try:
            self._tree = InotifyTree(root, self._inotify, listener)
            self._tree.pseudo = state.pseudo
            self._tree.watch_root()
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._tree.directories)

    @property
    def alive(self) -> bool:
        """False if events are not read from the kernel any more."""
        return self._inotify.alive

    @property
    def incomplete(self) -> bool:
        """True if some directories could not be watched; :meth:`retry` tries again."""
        return bool(self._tree.refused)

    def close(self) -> None:
        """Stop watching."""
        self.gone = True
        self._inotify.close()

    # Called by the thread that reads events.

    def on_event(self, event: InotifyEvent) -> None:
        """Announce a new or changed file, or a directory that was moved in."""
        mask, name, tree = int(event.mask), event.name, self._tree
        if mask & ATTRIBUTES and mask & IS_DIRECTORY:
            return
        if mask & MODIFY:
            if self._writes.is_repeated(event.wd, b"", name):
                return
        else:
            self._writes.forget(event.wd, b"", name)
        with tree.lock:
            above = tree.directories.get(event.wd)
            if above is None or not name:
                self.gone = self.gone or event.is_move_self
                return
            if mask & MOVED_FROM and not (mask & IS_DIRECTORY and self._detach(above, name)):
                return
            if mask & MOVED_TO and mask & IS_DIRECTORY:
                above.last_moved_in = name
            path = tree.directories.path(above, name)
        if path is None:
            tree.uncertain.add(above.wd)
        elif mask & IS_DIRECTORY:
            self._add(above, name, path, moved_away=bool(mask & MOVED_FROM))
        else:
            self._announce(path, change=change_of(mask))

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        """Remove a directory that was deleted, or whose file system was unmounted."""
        if self.gone:
            return
        with self._tree.lock:
            directories = self._tree.directories
            directory = directories.get(wd)
            if directory is directories.root:
                self.gone = True
            elif directory is not None:
                directories.remove(directory)

    def on_queue_overflow(self) -> None:
        """Report lost events; ``maintain`` finds the directories that were created meanwhile."""
        self._overflowed = True
        self._listener.report_missed(MissedEvents(self._root.name, Cause.OVERFLOW, _FULL))

    # Called by the daemon's thread.

    def maintain(self) -> None:
        """Watch directories that were missed; drop the watches of those that were moved away."""
        if self._overflowed and time.monotonic() >= self._compare_at:
            began = time.monotonic()
            self._compare_all()
            now = time.monotonic()
            self._compare_at = now + _REST_FACTOR * (now - began)
        for directory in self._tree.pop_uncertain():
            self._compare(directory)
        self._watch_changed_points()
        self._tree.drop_detached()

    def retry(self) -> bool:
        """Try to watch what could not be watched; return whether all is watched now."""
        for directory in self._tree.pop_refused():
            self._compare(directory)
        return not self._tree.refused

    def update_mounts(self, state: RootState, points: list[bytes]) -> None:
        """Watch what is at these mount points now."""
        self._tree.pseudo = state.pseudo
        self._changed_points.update(points)
        self._watch_changed_points()

    def _watch_changed_points(self) -> None:
        """Watch what is mounted at these points once the directory above is watched."""
        for point in list(self._changed_points):
            parent, name = os.path.split(point)
            with self._tree.lock:
                above = self._tree.directories.find(parent)
            if above is not None:
                self._changed_points.remove(point)
                if point not in self._tree.pseudo:
                    self._add(above, name, point)

    def _compare_all(self) -> None:
        self._overflowed = False
        with self._tree.lock:
            directories = list(self._tree.directories.subtree(self._tree.directories.root))
        for directory in directories:
            self._compare(directory)
        self._listener.report_missed(MissedEvents(self._root.name, Cause.OVERFLOW, _FULL))

    def _compare(self, directory: WatchedDirectory) -> None:
        """Watch and announce the directories in *directory* whose events were lost."""
        for child, _, empty in self._tree.watch_children(directory):
            with self._tree.lock:
                path = self._tree.directories.path(child)
            if path is not None and not empty:
                self._announce(path, tree=True)

    def _detach(self, above: WatchedDirectory, name: bytes) -> bool:
        """Detach a directory that was moved away; return whether another one has its name.

        When two are exchanged (renameat2(2)), one arrives before the other leaves.
        """
        child = self._tree.directories.child(above, name)
        if child is not None:
            self._tree.directories.detach(child)
        return above.last_moved_in == name

    # Called by both threads.

    def _add(
        self, above: WatchedDirectory, name: bytes, path: bytes, *, moved_away: bool = False
    ) -> None:
        """Watch a directory that was created, moved or mounted here, and announce its content.

        After a directory was *moved_away*, usually nothing is there.
        """
        branch = self._tree.add(above, name)
        if not (moved_away if branch is None else branch.empty):
            self._announce(path, tree=True)

    def _announce(self, path: bytes, *, tree: bool = False, change: Change = Change.NAMED) -> None:
        root = self._root
        self._listener.announce(Announcement(root.name, path, tree, change, root.account_of(path)))


REPEAT = 60.0
"""Seconds after which a root that cannot be watched is reported as missed again."""

RETRY = Backoff(15.0, 300.0)
"""Between two attempts to watch directories for which the kernel had no watch left."""


@dataclass(slots=True)
class _Watched:
    """A root, its state when its watch began, and the watch, if there is one."""

    root: Root
    state: RootState | None = None
    watch: InotifyRoot | None = None
    reported_at: float = 0.0
    retried_at: float = 0.0
    failures: int = 1


class InotifyWatch:
    """Watches each root separately, so that the end of one watch does not affect the others."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._roots: dict[str, _Watched] = {}

    def start(
        self,
        roots: Sequence[Root],
        listener: WatchListener,
        since: object = None,  # noqa: ARG002
    ) -> frozenset[str]:
        """Watch from now on, not since earlier.  Raises OSError if /proc cannot be read."""
        self._listener = listener
        if not self._roots:
            self._mounts = Mounts()
        for each in [each for each in self._roots.values() if each.root not in roots]:
            self._end(each)
            del self._roots[each.root.name]
        for root in roots:
            if root.name not in self._roots:
                self._roots[root.name] = _Watched(root)
                self._begin(self._roots[root.name], None)
        return frozenset()

    def acknowledge(self, position: object) -> None:
        """Do nothing: nothing is kept."""

    def maintain(self) -> None:
        """Restart watches that ended or whose root was replaced; maintain the others."""
        self._mounts.refresh()
        for each in self._roots.values():
            if RESPONSE_PROBE.is_hanging(each.root.path):
                continue
            now = read_root_state(each.root, self._mounts)
            if each.watch is None:
                if now is not None or self._clock() >= each.reported_at + REPEAT:
                    self._begin(each, root_change(each.root, each.state, now))
            elif (change := self._change(each, now)) is not None:
                self._end(each)
                self._begin(each, change)
            elif now is not None:
                self._maintain(each, each.watch, now)

    def renew(self, root: str) -> None:
        """Restart the watch of a root; what was missed until now is reported again afterwards."""
        each = self._roots[root]
        if RESPONSE_PROBE.is_hanging(each.root.path):
            return
        self._end(each)
        self._begin(each, MissedEvents(root, Cause.DEAD_WATCH, "the watch was renewed"))

    def lacks_watches(self, root: str) -> bool:
        """Return whether a root, or a directory in it, has no watch now."""
        watch = self._roots[root].watch if root in self._roots else None
        return watch is None or watch.incomplete or not watch.alive

    def close(self) -> None:
        """Stop watching."""
        for each in self._roots.values():
            self._end(each)
        if self._roots:
            self._mounts.close()
        self._roots = {}

    def _change(self, each: _Watched, now: RootState | None) -> MissedEvents | None:
        change = root_change(each.root, each.state, now)
        if change is not None or each.watch is None:
            return change
        if each.watch.gone:
            detail = "it was deleted, moved or unmounted"
            return MissedEvents(each.root.name, Cause.REPLACED, detail)
        if not each.watch.alive:
            return MissedEvents(each.root.name, Cause.DEAD_WATCH, "the watch had ended")
        return None

    def _begin(self, each: _Watched, change: MissedEvents | None) -> None:
        """Watch a root if it exists; report afterwards what was missed before."""
        hanging = RESPONSE_PROBE.is_hanging(each.root.path)
        now = None if hanging else read_root_state(each.root, self._mounts)
        if now is None:
            change = root_change(each.root, each.state, None)
        else:
            try:
                each.watch = InotifyRoot(each.root, now, self._listener)
            except OSError as error:
                change = root_refused(each.root, error)
        each.state = now
        if change is not None:
            self._listener.report_missed(change)
        if each.watch is not None and now is not None:
            for one in network_mounts(each.root, now):
                self._listener.report_missed(one)
        each.reported_at = each.retried_at = self._clock()
        each.failures = 1

    def _maintain(self, each: _Watched, watch: InotifyRoot, now: RootState) -> None:
        """Follow mounts below the root, and retry what could not be watched."""
        before, each.state = each.state, now
        if before is not None and now != before:
            changed = set(before.below) ^ set(now.below)
            watch.update_mounts(now, sorted({mount.point for mount in changed}))
            for one in network_mounts(each.root, now, before):
                self._listener.report_missed(one)
        watch.maintain()
        if watch.incomplete and self._clock() >= each.retried_at + RETRY.delay(each.failures):
            each.retried_at = self._clock()
            each.failures = 1 if watch.retry() else each.failures + 1

    def _end(self, each: _Watched) -> None:
        if each.watch is not None:
            each.watch.close()
            each.watch = None
