"""One root, watched through watchdog's inotify: every directory below it has its own watch.

watchdog's reader thread calls us back for every event.  Of watchdog we use the layer below its
observers: they keep events in queues without a bound, hold everything back for half a second
after a rename, pass over directories that could not be watched, and stop seeing new
directories, or all of them for seconds, when the kernel's queue was full.

What inotify(7) leaves open is decided for the side of too much: a tree that was moved in is
announced as a whole, and after an overflow all directories are looked at.
"""

from __future__ import annotations

import os
import time

from watchdog.observers.inotify_c import InotifyConstants, InotifyEvent, InotifyFD, WatchDescriptor

from hashwacht.core.watch_events import Announcement, Cause, MissedEvents, Root, WatchListener
from hashwacht.watch.directory_tree import WatchedDirectory
from hashwacht.watch.inotify_tree import InotifyTree
from hashwacht.watch.root_state import RootState

_IS_DIRECTORY = int(InotifyConstants.IN_ISDIR)
_LEAVES = int(InotifyConstants.IN_MOVED_FROM)
_COMES = int(InotifyConstants.IN_MOVED_TO)
_CLOSED = int(InotifyConstants.IN_CLOSE_WRITE)

_FULL = "the kernel's queue was full (fs.inotify.max_queued_events)"
_SHARE = 9
"""After looking everywhere, rest that many times as long as it took."""


class InotifyRoot:
    """Watches one root until it is closed, dies, or the root is not there any more."""

    def __init__(self, root: Root, footing: RootState, listener: WatchListener) -> None:
        """Watch all directories of *root* from now on.  Raises OSError."""
        self._root, self._listener = root, listener
        self._overflowed = self._over = False
        self._rest_until = 0.0
        self._points: set[bytes] = set()
        self._inotify = InotifyFD()
        self._inotify.start()
        try:
            self._tree = InotifyTree(root, self._inotify, self, listener)
            self._tree.pseudo = footing.pseudo
            self._tree.begin()
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._tree.directories)

    @property
    def alive(self) -> bool:
        """False if nothing is read from the kernel any more."""
        return self._inotify.is_alive()

    @property
    def gone(self) -> bool:
        """True if the root is not where it was: nothing that comes there is announced."""
        return self._over

    @property
    def incomplete(self) -> bool:
        """True if some directories could not be watched; :meth:`retry` tries again."""
        return bool(self._tree.refused)

    def close(self) -> None:
        """Watch no more."""
        self._over = True
        self._inotify.stop()
        self._inotify.join()

    # Called by watchdog's thread.

    def on_event(self, event: InotifyEvent) -> None:
        """Announce what came in."""
        mask, name, tree = int(event.mask), event.name, self._tree
        with tree.lock:
            above = tree.directories.get(event.wd)
            if above is None or not name:
                self._over = self._over or event.is_move_self
                return
            if mask & _LEAVES and not (mask & _IS_DIRECTORY and self._leaves(above, name)):
                return
            if mask & _COMES and mask & _IS_DIRECTORY:
                above.latest = name
            path = tree.directories.path(above, name)
        if path is None:
            tree.doubts.add(above.wd)
        elif mask & _IS_DIRECTORY:
            self._came(above, name, path, left=bool(mask & _LEAVES))
        else:
            closed = bool(mask & _CLOSED)
            self._listener.announce(Announcement(self._root.name, path, closed=closed))

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        """Forget a directory that was deleted, or whose file system was unmounted."""
        if self._over:
            return
        with self._tree.lock:
            directories = self._tree.directories
            directory = directories.get(wd)
            if directory is directories.root:
                self._over = True
            elif directory is not None:
                directories.forget(directory)

    def on_queue_overflow(self) -> None:
        """Say that events were lost; directories that came meanwhile are looked for later."""
        self._overflowed = True
        self._listener.report_missed(MissedEvents(self._root.name, Cause.OVERFLOW, _FULL))

    # Called by the daemon's thread.

    def maintain(self) -> None:
        """Look for directories that are not watched and ought to be; give up those that left."""
        if self._overflowed and time.monotonic() >= self._rest_until:
            began = time.monotonic()
            self._look_everywhere()
            now = time.monotonic()
            self._rest_until = now + _SHARE * (now - began)
        for directory in self._tree.pop_doubtful():
            self._look(directory)
        self._look_at_points()
        self._tree.drop_detached()

    def retry(self) -> bool:
        """Try again to watch what could not be watched; say if all is watched now."""
        for directory in self._tree.pop_refused():
            self._look(directory)
        return not self._tree.refused

    def remounted(self, footing: RootState, points: list[bytes]) -> None:
        """Watch what is at these mount points now."""
        self._tree.pseudo = footing.pseudo
        self._points.update(points)
        self._look_at_points()

    def _look_at_points(self) -> None:
        """Watch what is mounted, as soon as it is known which directory it is in."""
        for point in list(self._points):
            parent, name = os.path.split(point)
            with self._tree.lock:
                above = self._tree.directories.find(parent)
            if above is not None:
                self._points.remove(point)
                if point not in self._tree.pseudo:
                    self._came(above, name, point)

    def _look_everywhere(self) -> None:
        """Look for directories whose events were lost."""
        self._overflowed = False
        with self._tree.lock:
            everywhere = list(self._tree.directories.subtree(self._tree.directories.root))
        for each in everywhere:
            self._look(each)
        self._listener.report_missed(MissedEvents(self._root.name, Cause.OVERFLOW, _FULL))

    def _look(self, directory: WatchedDirectory) -> None:
        """Look for new directories in one that has been watched all the time."""
        for made, _, empty in self._tree.watch_children(directory):
            with self._tree.lock:
                path = self._tree.directories.path(made)
            if path is not None and not empty:
                self._listener.announce(Announcement(self._root.name, path, tree=True))

    def _leaves(self, above: WatchedDirectory, name: bytes) -> bool:
        """Take off a directory that was moved away; say if another one is there all the same.

        Of two that were exchanged (renameat2(2)), the one comes before the other leaves.
        """
        child = self._tree.directories.child(above, name)
        if child is not None:
            self._tree.directories.detach(child)
        return above.latest == name

    # Called by both.

    def _came(
        self, above: WatchedDirectory, name: bytes, path: bytes, *, left: bool = False
    ) -> None:
        """Watch a directory that was made, moved or mounted here, and announce what is in it.

        If one has *left*, nothing is there as a rule.
        """
        branch = self._tree.add(above, name)
        if not (left if branch is None else branch.empty):
            self._listener.announce(Announcement(self._root.name, path, tree=True))
