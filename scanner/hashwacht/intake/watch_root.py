"""One root, watched through watchdog's inotify: every directory below it has its own watch.

watchdog's reader thread calls us back for every event.  Of watchdog we use the layer below its
observers: they keep events in queues without a bound, hold everything back for half a second
after a rename, pass over directories that could not be watched, and stop seeing new
directories, or all of them for seconds, when the kernel's queue was full.

A new directory is watched before it is listed, so whatever comes into it is either seen on the
list or announced.  What inotify(7) leaves open is decided here for the side of too much: a tree
that was moved in is announced as a whole, and after an overflow all directories are looked at.
"""

from __future__ import annotations

import errno
import itertools
import os
import threading
import time

from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    Mask,
    WatchDescriptor,
)

from hashwacht.announcement import Announcement, Cause, Listener, Missed, Root
from hashwacht.intake.directories import Directories, Directory
from hashwacht.intake.footing import Footing
from hashwacht.paths import show

MASK = Mask(
    InotifyConstants.IN_CREATE
    | InotifyConstants.IN_CLOSE_WRITE
    | InotifyConstants.IN_MOVED_FROM
    | InotifyConstants.IN_MOVED_TO
    | InotifyConstants.IN_ONLYDIR
    | InotifyConstants.IN_DONT_FOLLOW
    | InotifyConstants.IN_EXCL_UNLINK
)
"""Reading makes no events: with watchdog's own mask, walking 100,000 directories overflows the
queue, and making up for the overflow walks them again, for ever."""

_IS_DIRECTORY = int(InotifyConstants.IN_ISDIR)
_LEAVES = int(InotifyConstants.IN_MOVED_FROM)
_CLOSED = int(InotifyConstants.IN_CLOSE_WRITE)
_LIMITS = frozenset({errno.ENOSPC, errno.ENOMEM})
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
_FULL = "the kernel's queue was full (fs.inotify.max_queued_events)"
_CHANCES = 3
"""Times that a directory which is not where it should be is looked for."""


class RootWatch:
    """Watches one root until it is closed, dies, or the root is deleted."""

    def __init__(self, root: Root, footing: Footing, listener: Listener) -> None:
        """Watch all directories of *root* from now on.  Raises OSError."""
        self._root, self._listener = root, listener
        self._pseudo = footing.pseudo
        self._lock = threading.Lock()
        self._keys = itertools.count()
        self._doubts: set[int] = set()
        self._astray: dict[int, int] = {}
        self._refused: set[int] = set()
        self._adrift: set[int] = set()
        self._overflowed = self._over = False
        self._rest_until = 0.0
        self._inotify = InotifyFD()
        self._inotify.start()
        try:
            with self._lock:
                key = next(self._keys)
                wd = self._watch(root.path, key, Mask(MASK | InotifyConstants.IN_MOVE_SELF))
                self._tree = Directories(root.path, wd, key)
            self._explore(self._tree.root)
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._tree)

    @property
    def alive(self) -> bool:
        """False if nothing will be announced any more."""
        return self._inotify.is_alive() and not self._over

    @property
    def incomplete(self) -> bool:
        """True if some directories could not be watched; :meth:`retry` tries again."""
        return bool(self._refused)

    def close(self) -> None:
        """Watch no more."""
        self._over = True
        self._inotify.stop()
        self._inotify.join()

    # Called by watchdog's thread.

    def on_event(self, event: InotifyEvent) -> None:
        """Announce what came in."""
        mask, name = int(event.mask), event.name
        with self._lock:
            above = self._tree.get(event.wd)
            if above is None or not name:
                self._over = self._over or event.is_move_self
                return
            if mask & _LEAVES:
                child = self._tree.child(above, name) if mask & _IS_DIRECTORY else None
                if child is not None:
                    self._tree.take_off(child)
                return
            path = self._tree.path(above, name)
            if path is None:
                self._doubts.add(above.wd)
                return
        if mask & _IS_DIRECTORY:
            self._came(above, name, path)
        else:
            closed = bool(mask & _CLOSED)
            self._listener.announce(Announcement(self._root.name, path, closed=closed))

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        """Forget a directory that was deleted, or whose file system was unmounted."""
        if self._over:
            return
        with self._lock:
            directory = self._tree.get(wd)
            if directory is self._tree.root:
                self._over = True
            elif directory is not None:
                self._tree.forget(directory)

    def on_queue_overflow(self) -> None:
        """Say that events were lost; directories that came meanwhile are looked for later."""
        self._overflowed = True
        self._miss(Cause.OVERFLOW, _FULL)

    # Called by the daemon's thread.

    def tend(self) -> None:
        """Look for directories that are not watched and ought to be; give up those that left."""
        if self._overflowed and time.monotonic() >= self._rest_until:
            self._look_everywhere()
        for wd in list(self._doubts):
            with self._lock:
                directory = self._tree.get(wd)
                settled = directory is None or self._tree.path(directory) is not None
            if settled:
                self._doubts.discard(wd)
            if settled and directory is not None:
                self._look(directory)
        self._give_up()

    def retry(self) -> bool:
        """Try again to watch what could not be watched; say if all is watched now."""
        with self._lock:
            again = [self._tree.get(wd) for wd in self._refused]
            self._refused.clear()
        for each in again:
            if each is not None:
                self._look(each)
        return not self._refused

    def remounted(self, footing: Footing, points: list[bytes]) -> None:
        """Watch what is at these mount points now."""
        self._pseudo = footing.pseudo
        for point in points:
            parent, name = os.path.split(point)
            with self._lock:
                above = self._tree.find(parent)
            if above is not None and point not in self._pseudo:
                self._came(above, name, point)

    def _look_everywhere(self) -> None:
        """Look for directories whose events were lost, at most a tenth of the time."""
        began = time.monotonic()
        self._overflowed = False
        with self._lock:
            everywhere = list(self._tree.under(self._tree.root))
        for each in everywhere:
            self._look(each)
        self._miss(Cause.OVERFLOW, _FULL)
        now = time.monotonic()
        self._rest_until = now + 9 * (now - began)

    # Called by both.

    def _came(self, above: Directory, name: bytes, path: bytes) -> None:
        """Watch a directory that was made, moved or mounted here, and announce what is in it."""
        made = self._add(above, name)
        if made is None or self._explore(made):
            self._listener.announce(Announcement(self._root.name, path, tree=True))

    def _explore(self, start: Directory) -> bool:
        """Watch all that is below a new directory; say if there is anything in it."""
        waiting, anything = [start], False
        while waiting:
            here = waiting.pop()
            names, empty = self._subdirectories(here)
            anything = anything or not empty
            waiting.extend(made for name in names if (made := self._add(here, name)) is not None)
        return anything

    def _look(self, directory: Directory) -> None:
        """Look for new directories in one that has been watched all the time."""
        names, _ = self._subdirectories(directory)
        for name in names:
            made = self._add(directory, name)
            if made is not None:
                self._explore(made)
                with self._lock:
                    path = self._tree.path(made)
                if path is not None:
                    self._listener.announce(Announcement(self._root.name, path, tree=True))

    def _subdirectories(self, directory: Directory) -> tuple[list[bytes], bool]:
        """List the directories in one; say also if nothing at all is in it."""
        with self._lock:
            path = self._tree.path(directory)
        if path is None:
            self._doubts.add(directory.wd)
            return [], False
        empty, names = True, []
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    empty = False
                    if entry.is_dir(follow_symlinks=False):
                        names.append(entry.name)
        except OSError as error:
            self._note(directory, path, error)
            if error.errno in _GONE:
                self._stray(directory)
            return [], False
        self._astray.pop(directory.wd, None)
        if self._pseudo:
            inside = path.rstrip(b"/") + b"/"
            names = [name for name in names if inside + name not in self._pseudo]
        return names, empty

    def _add(self, above: Directory, name: bytes) -> Directory | None:
        """Watch the directory *name* in *above*; give it if it was not watched before."""
        with self._lock:
            path = self._tree.path(above, name)
        if path is None:
            self._doubts.add(above.wd)
            return None
        key = next(self._keys)
        try:
            wd = self._watch(path, key)
        except OSError as error:
            self._note(above, path, error)
            return None
        with self._lock:
            made = self._tree.put(above, name, wd, key)
        if made is None:  # it has a watch already, and needs no second one
            self._inotify.remove_callbacks([(WatchDescriptor(wd), CallbackId(key))])
        return made

    def _watch(self, path: bytes, key: int, mask: Mask = MASK) -> int:
        """Ask the kernel.  Raises OSError."""
        wd = self._inotify.add_callback(path, mask, self, CallbackId(key))
        if wd < 0:  # how watchdog says EACCES
            self._inotify.remove_callbacks([(wd, CallbackId(key))])
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return wd

    def _note(self, directory: Directory, path: bytes, error: OSError) -> None:
        """Remember that something in *directory* could not be watched, and say what it means."""
        if error.errno in _GONE:  # deleted, or renamed and about to be announced
            self._doubts.add(directory.wd)
            return
        self._refused.add(directory.wd)
        if error.errno in _LIMITS:
            detail = f"no watch left for {show(path)} (fs.inotify.max_user_watches)"
            self._miss(Cause.WATCH_LIMIT, detail)
        else:
            self._miss(Cause.UNLISTED, error.strerror or str(error), path)

    def _stray(self, directory: Directory) -> None:
        """Count how often a directory was not where it should be; at last take it off."""
        times = self._astray.pop(directory.wd, 0) + 1
        if times < _CHANCES:
            self._astray[directory.wd] = times
        elif directory is not self._tree.root:
            with self._lock:
                self._tree.take_off(directory)

    def _give_up(self) -> None:
        """Give back the watches of what was moved out of the root, and not in again since."""
        with self._lock:
            adrift = self._tree.adrift()
            left = [each for each in adrift if each.wd in self._adrift]
            gone = [each for top in left for each in self._tree.under(top)]
            for each in gone:
                self._tree.forget(each)
            self._adrift = {each.wd for each in adrift}.difference(each.wd for each in gone)
        self._inotify.remove_callbacks(
            [(WatchDescriptor(each.wd), CallbackId(each.key)) for each in gone]
        )

    def _miss(self, cause: Cause, detail: str, path: bytes = b"") -> None:
        self._listener.missed(Missed(self._root.name, cause, detail, path))
