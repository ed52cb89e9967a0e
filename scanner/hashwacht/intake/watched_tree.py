"""Putting a watch on every directory of a tree, while its owners change it.

A directory is watched before it is listed, so whatever comes into it is either on the list or
announced.  Paths are resolved by the kernel, links in the middle included: if somebody puts one
there, names are announced that lead nowhere, and the scanner, which follows no link, finds so.
"""

from __future__ import annotations

import errno
import itertools
import os
import threading

from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyFD,
    Mask,
    WatchCallback,
    WatchDescriptor,
)

from hashwacht.announcement import Cause, Listener, Missed, Root
from hashwacht.intake.directories import Directories, Directory
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

_LIMITS = frozenset({errno.ENOSPC, errno.ENOMEM})
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
_CHANCES = 3
"""Times that a directory which is not where it should be is looked for."""


class WatchedTree:
    """The watches below one root.  Two threads use it; *lock* guards *directories*."""

    def __init__(
        self, root: Root, inotify: InotifyFD, callback: WatchCallback, listener: Listener
    ) -> None:
        """Watch the root's own directory.  Raises OSError."""
        self._root, self._inotify, self._callback = root, inotify, callback
        self._listener = listener
        self._keys = itertools.count()
        self._astray: dict[int, int] = {}
        self._adrift: set[int] = set()
        self.lock = threading.Lock()
        self.doubts: set[int] = set()
        """Directories in which something was not where it should be."""
        self.refused: set[int] = set()
        """Directories in which something could not be watched."""
        self.pseudo: frozenset[bytes] = frozenset()
        """Mount points of file systems that hold nobody's files."""
        with self.lock:
            key = next(self._keys)
            wd = self._watch(root.path, key, Mask(MASK | InotifyConstants.IN_MOVE_SELF))
            self.directories = Directories(root.path, wd, key)

    def begin(self) -> None:
        """Watch everything below the root."""
        self.explore(self.directories.root)

    def explore(self, start: Directory) -> bool:
        """Watch all that is below a new directory; say if there is anything in it."""
        waiting, anything = [start], False
        while waiting:
            here = waiting.pop()
            names, empty = self._list(here)
            anything = anything or not empty
            waiting.extend(made for name in names if (made := self.add(here, name)) is not None)
        return anything

    def new_in(self, directory: Directory) -> list[Directory]:
        """Watch the directories in one that have no watch yet, and give them."""
        names, _ = self._list(directory)
        return [made for name in names if (made := self.add(directory, name)) is not None]

    def add(self, above: Directory, name: bytes) -> Directory | None:
        """Watch the directory *name* in *above*; give it if it was not watched before."""
        with self.lock:
            path = self.directories.path(above, name)
        if path is None:
            self.doubts.add(above.wd)
            return None
        key = next(self._keys)
        try:
            wd = self._watch(path, key)
        except OSError as error:
            self._note(above, path, error)
            return None
        with self.lock:
            made = self.directories.put(above, name, wd, key)
        if made is None:  # it has a watch already, and needs no second one
            self._inotify.remove_callbacks([(WatchDescriptor(wd), CallbackId(key))])
        return made

    def doubtful(self) -> list[Directory]:
        """Give the directories to look at once more; those that lie nowhere now stay in doubt."""
        found = []
        with self.lock:
            for wd in list(self.doubts):
                directory = self.directories.get(wd)
                if directory is None:
                    self.doubts.discard(wd)
                elif self.directories.path(directory) is not None:
                    self.doubts.discard(wd)
                    found.append(directory)
        return found

    def try_again(self) -> list[Directory]:
        """Give the directories in which something could not be watched, and forget that."""
        with self.lock:
            found = [self.directories.get(wd) for wd in self.refused]
            self.refused.clear()
        return [each for each in found if each is not None]

    def give_up(self) -> None:
        """Give back the watches of what had left the root last time, and has not come back."""
        with self.lock:
            adrift = self.directories.adrift()
            left = [each for each in adrift if each.wd in self._adrift]
            gone = [each for top in left for each in self.directories.under(top)]
            for each in gone:
                self.directories.forget(each)
            self._adrift = {each.wd for each in adrift}.difference(each.wd for each in gone)
        self._inotify.remove_callbacks(
            [(WatchDescriptor(each.wd), CallbackId(each.key)) for each in gone]
        )

    def _list(self, directory: Directory) -> tuple[list[bytes], bool]:
        """List the directories in one; say also if nothing at all is in it."""
        with self.lock:
            path = self.directories.path(directory)
        if path is None:
            self.doubts.add(directory.wd)
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
        if self.pseudo:
            inside = path.rstrip(b"/") + b"/"
            names = [name for name in names if inside + name not in self.pseudo]
        return names, empty

    def _watch(self, path: bytes, key: int, mask: Mask = MASK) -> int:
        """Ask the kernel.  Raises OSError."""
        wd = self._inotify.add_callback(path, mask, self._callback, CallbackId(key))
        if wd < 0:  # how watchdog says EACCES
            self._inotify.remove_callbacks([(wd, CallbackId(key))])
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return wd

    def _note(self, directory: Directory, path: bytes, error: OSError) -> None:
        """Remember that something in *directory* could not be watched, and say what it means."""
        if error.errno in _GONE:  # deleted, or renamed and about to be announced
            self.doubts.add(directory.wd)
            return
        self.refused.add(directory.wd)
        if error.errno in _LIMITS:
            detail = f"no watch left for {show(path)} (fs.inotify.max_user_watches)"
            self._listener.missed(Missed(self._root.name, Cause.WATCH_LIMIT, detail))
        else:
            detail = error.strerror or str(error)
            self._listener.missed(Missed(self._root.name, Cause.UNLISTED, detail, path))

    def _stray(self, directory: Directory) -> None:
        """Count how often a directory was not where it should be; at last take it off."""
        times = self._astray.pop(directory.wd, 0) + 1
        if times < _CHANCES:
            self._astray[directory.wd] = times
        elif directory is not self.directories.root:
            with self.lock:
                self.directories.take_off(directory)
