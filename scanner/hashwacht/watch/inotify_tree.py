"""Putting a watch on every directory of a tree, while its owners change it.

What the kernel tells is heard late: when it says that a directory was made, that one, or one above
it, may long have another name, and another directory have that one's.  So three things hold.

A directory is watched before it is listed, so whatever comes into it is either on the list or
announced.

A directory is noted as being in another one only if it was opened *relative to that one*, which was
compared with the directory that is watched.  No path, and no link on the way, can lead astray.

Opening and noting are one step as far as events go: whatever happens to that name afterwards is
heard of after it was noted.  Otherwise a rename could be dealt with in between, and be undone.
"""

from __future__ import annotations

import errno
import itertools
import os
import threading
from typing import NamedTuple

from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyFD,
    Mask,
    WatchCallback,
    WatchDescriptor,
)

from hashwacht.core.paths import escape_path
from hashwacht.core.watch_events import Cause, MissedEvents, Root, WatchListener
from hashwacht.platform.safe_open import OpenDirectory
from hashwacht.watch.directory_tree import DirectoryTree, WatchedDirectory

MASK = Mask(
    InotifyConstants.IN_CREATE
    | InotifyConstants.IN_CLOSE_WRITE
    | InotifyConstants.IN_MOVED_FROM
    | InotifyConstants.IN_MOVED_TO
    | InotifyConstants.IN_MASK_ADD
    | InotifyConstants.IN_EXCL_UNLINK
)
"""Reading makes no events: with watchdog's own mask, walking 100,000 directories overflows the
queue, and making up for the overflow walks them again, for ever."""

_LIMITS = frozenset({errno.ENOSPC, errno.ENOMEM})
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
_CHANCES = 3
"""Times that a directory which is not where it should be is looked for."""

_PASSING = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LISTING = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Branch(NamedTuple):
    """A directory that has just been watched, or that lay elsewhere before."""

    directory: WatchedDirectory
    names: list[bytes]
    """The directories in it that are to be watched."""
    empty: bool
    """True if nothing was in it when it was watched."""


class InotifyTree:
    """The watches below one root.  Two threads use it; *lock* guards *directories*."""

    def __init__(
        self, root: Root, inotify: InotifyFD, callback: WatchCallback, listener: WatchListener
    ) -> None:
        """Watch nothing yet."""
        self._root, self._inotify, self._callback = root, inotify, callback
        self._listener = listener
        self._keys = itertools.count()
        self._adrift: set[int] = set()
        self.lock = threading.Lock()
        self.doubts: set[int] = set()
        """Directories in which something may not be as it was noted."""
        self.refused: set[int] = set()
        """Directories in which something could not be watched."""
        self.pseudo: frozenset[bytes] = frozenset()
        """Mount points of file systems that hold nobody's files."""
        self.directories: DirectoryTree

    def begin(self) -> None:
        """Watch the root and everything below it.  Raises OSError for the root's own directory."""
        with self.lock, OpenDirectory(os.open(self._root.path, _PASSING)) as opened:
            mask = Mask(MASK | InotifyConstants.IN_MOVE_SELF)
            made = self._watch(opened.fd, _identity(opened.fd), mask)
            self.directories = DirectoryTree(self._root.path, made)
        self.watch_children(self.directories.root)

    def add(self, above: WatchedDirectory, name: bytes) -> Branch | None:
        """Watch the directory *name* in *above* and all below; None if that changed nothing."""
        opened = self._reach(above)
        if opened is None:
            return None
        with opened:
            branch = self._add(above, opened, name)
        if branch is not None:
            self._explore([branch])
        return branch

    def watch_children(self, directory: WatchedDirectory) -> list[Branch]:
        """Watch what is in a directory, and give what is new there, with all that is below."""
        opened = self._reach(directory, _LISTING)
        if opened is None:
            return []
        with opened:
            names, _ = self._list(directory, opened.fd)
            inside = [self._add(directory, opened, name) for name in names]
        branches = [each for each in inside if each is not None]
        self._explore(branches.copy())
        return branches

    def pop_doubtful(self) -> list[WatchedDirectory]:
        """Give the directories to look at once more; those that lie nowhere now stay in doubt.

        One that was not found for long is taken off instead, and the one above it in doubt: if it
        is there after all, it is found there.
        """
        found = []
        with self.lock:
            for wd in list(self.doubts):
                directory = self.directories.get(wd)
                if directory is None:
                    self.doubts.discard(wd)
                elif self.directories.path(directory) is not None:
                    directory.looks += 1
                    if directory.looks <= _CHANCES or directory.above is None:
                        self.doubts.discard(wd)
                        found.append(directory)
                    else:
                        directory.looks = 0
                        self.doubts.add(directory.above.wd)
                        self.directories.detach(directory)
        return found

    def pop_refused(self) -> list[WatchedDirectory]:
        """Give the directories in which something could not be watched, and forget that."""
        refused = list(self.refused)
        self.refused.difference_update(refused)
        with self.lock:
            found = [self.directories.get(wd) for wd in refused]
        return [each for each in found if each is not None]

    def drop_detached(self) -> None:
        """Give back the watches of what had left the root last time, and has not come back."""
        with self.lock:
            adrift = self.directories.detached()
            left = [each for each in adrift if each.wd in self._adrift]
            gone = [each for top in left for each in self.directories.subtree(top)]
            for each in gone:
                self.directories.forget(each)
            self._adrift = {each.wd for each in adrift}.difference(each.wd for each in gone)
        self._inotify.remove_callbacks(
            [(WatchDescriptor(each.wd), CallbackId(each.key)) for each in gone]
        )

    def _reach(self, directory: WatchedDirectory, how: int = _PASSING) -> OpenDirectory | None:
        """Open a watched directory; None, and in doubt, if it is not where it should be."""
        with self.lock:
            path = self.directories.path(directory)
        try:
            if path is not None:
                opened = OpenDirectory(os.open(path, how))
                if opened.dev << 64 | opened.ino == directory.identity:
                    directory.looks = 0
                    return opened
                opened.close()
        except OSError as error:
            if error.errno not in _GONE:
                self._note(directory, path or b"", error)
                return None
        self.doubts.add(directory.wd)
        return None

    def _explore(self, waiting: list[Branch]) -> None:
        """Watch all that is below these."""
        while waiting:
            here, names, _ = waiting.pop()
            opened = self._reach(here) if names else None
            if opened is not None:
                with opened:
                    inside = (self._add(here, opened, name) for name in names)
                    waiting.extend(each for each in inside if each is not None and each.names)

    def _add(self, above: WatchedDirectory, opened: OpenDirectory, name: bytes) -> Branch | None:
        """Watch the directory *name* in one that is *opened*; give it if it is new there."""
        inner = -1
        try:
            with self.lock:
                inner = os.open(name, _LISTING, dir_fd=opened.fd)
                made, new = self._hang(above, name, inner)
            if made is None:
                return None
            return Branch(made, *self._list(made, inner)) if new else Branch(made, [], empty=False)
        except OSError as error:
            if error.errno not in _GONE:  # what has another name now is announced under that
                self._note(above, self._path(above, name), error)
            return None
        finally:
            if inner >= 0:
                os.close(inner)

    def _hang(
        self, above: WatchedDirectory, name: bytes, fd: int
    ) -> tuple[WatchedDirectory | None, bool]:
        """Watch a directory and note where it is; give it if it was not there, and if it is new.

        The lock is held.  Raises OSError.
        """
        directories, identity = self.directories, _identity(fd)
        known = directories.child(above, name)
        if known is not None and known.identity == identity:
            return None, False
        if directories.get(above.wd) is not above:  # it was given up
            return None, False
        watched = self._watch(fd, identity)
        made = directories.attach(above, name, watched)
        if made is not watched:  # it has a watch already, and needs no second one
            self._inotify.remove_callbacks([(WatchDescriptor(watched.wd), CallbackId(watched.key))])
        return made, made is watched

    def _list(self, directory: WatchedDirectory, fd: int) -> tuple[list[bytes], bool]:
        """List the directories in one; say also if nothing at all is in it."""
        empty, names = True, []
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    empty = False
                    if entry.is_dir(follow_symlinks=False):
                        names.append(os.fsencode(entry.name))
        except OSError as error:
            self._note(directory, self._path(directory), error)
            return [], False
        if self.pseudo and names:
            inside = self._path(directory).rstrip(b"/") + b"/"
            names = [name for name in names if inside + name not in self.pseudo]
        return names, empty

    def _watch(self, fd: int, identity: int, mask: Mask = MASK) -> WatchedDirectory:
        """Ask the kernel to watch an open directory.  Raises OSError."""
        key = next(self._keys)
        path = b"/proc/self/fd/%d" % fd
        wd = self._inotify.add_callback(path, mask, self._callback, CallbackId(key))
        if wd < 0:  # how watchdog says EACCES
            self._inotify.remove_callbacks([(wd, CallbackId(key))])
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return WatchedDirectory(wd, key, identity)

    def _path(self, directory: WatchedDirectory, name: bytes = b"") -> bytes:
        """Give the path of something, to speak of it; empty if it lies nowhere."""
        with self.lock:
            return self.directories.path(directory, name) or b""

    def _note(self, directory: WatchedDirectory, path: bytes, error: OSError) -> None:
        """Remember that something in *directory* could not be watched, and say what it means."""
        self.refused.add(directory.wd)
        if error.errno in _LIMITS:
            detail = f"no watch left for {escape_path(path)} (fs.inotify.max_user_watches)"
            self._listener.report_missed(MissedEvents(self._root.name, Cause.WATCH_LIMIT, detail))
        else:
            detail = error.strerror or str(error)
            self._listener.report_missed(
                MissedEvents(self._root.name, Cause.UNLISTED, detail, path)
            )


def _identity(fd: int) -> int:
    """Give device and inode number in one: there is one of these for every watched directory."""
    found = os.fstat(fd)
    return found.st_dev << 64 | found.st_ino
