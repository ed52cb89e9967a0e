"""Watches on every directory of a tree, while other processes change it.

Events arrive late: when the kernel reports that a directory was created, it or one above it may
have been renamed, and another directory may have its name.  Hence three rules.

A directory is watched before it is listed, so that everything in it is either listed or announced.

A directory becomes a child of another one only if it was opened *relative to that one*, which was
compared with the directory that is watched.  Paths and links cannot mislead this.

Opening a directory and attaching it to the tree are one step with respect to events: what happens
to its name afterwards is processed after it.  Otherwise a rename could be processed in between,
and undone.
"""

from __future__ import annotations

import errno
import itertools
import os
import threading
from typing import NamedTuple

from hashwacht.core.paths import escape_path
from hashwacht.core.watch_events import Cause, MissedEvents, Root, WatchListener
from hashwacht.platform.safe_open import OpenDirectory
from hashwacht.watch.directory_tree import DirectoryTree, WatchedDirectory
from hashwacht.watch.inotify_api import DIRECTORY_EVENTS, MOVE_SELF, InotifyInstance

_LIMITS = frozenset({errno.ENOSPC, errno.ENOMEM})
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
_MAX_SEARCHES = 3
"""How often a directory that is not where it should be is searched for."""

_SEARCH_ONLY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LISTING = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Branch(NamedTuple):
    """A directory that is new in the tree, or at a new place."""

    directory: WatchedDirectory
    names: list[bytes]
    """The directories in it that must be watched."""
    empty: bool
    """True if it was empty when it was watched."""


class InotifyTree:
    """The watches below one root.  Two threads use it; *lock* guards *directories*."""

    def __init__(self, root: Root, inotify: InotifyInstance, listener: WatchListener) -> None:
        self._root, self._inotify, self._listener = root, inotify, listener
        self._keys = itertools.count()
        self._detached_before: set[int] = set()
        self.lock = threading.Lock()
        self.uncertain: set[int] = set()
        """Directories whose children may differ from the tree."""
        self.refused: set[int] = set()
        """Directories in which something could not be watched."""
        self.pseudo: frozenset[bytes] = frozenset()
        """Mount points of pseudo file systems."""
        self.directories: DirectoryTree

    def watch_root(self) -> None:
        """Watch the root and everything below it.  Raises OSError for the root's own directory."""
        with self.lock, OpenDirectory(os.open(self._root.path, _SEARCH_ONLY)) as opened:
            events = DIRECTORY_EVENTS | MOVE_SELF
            top = self._watch(opened.fd, _identity(opened.fd), events)
            self.directories = DirectoryTree(self._root.path, top)
        self.watch_children(self.directories.root)

    def add(self, above: WatchedDirectory, name: bytes) -> Branch | None:
        """Watch the directory *name* in *above* and all below it; None if nothing changed."""
        branch = None
        if opened := self._open(above):
            with opened:
                branch = self._add(above, opened, name)
        if branch is not None:
            self._explore([branch])
        return branch

    def watch_children(self, directory: WatchedDirectory) -> list[Branch]:
        """Watch all below a directory; return those of its children that are new."""
        opened = self._open(directory, _LISTING)
        if opened is None:
            return []
        with opened:
            names, _ = self._list(directory, opened.fd)
            children = [self._add(directory, opened, name) for name in names]
        branches = [branch for branch in children if branch is not None]
        self._explore(branches.copy())
        return branches

    def pop_uncertain(self) -> list[WatchedDirectory]:
        """Return the directories to compare; detached ones stay uncertain.

        One that was not found several times is detached, and the one above it becomes uncertain:
        if it is there after all, it is found there.
        """
        directories = []
        with self.lock:
            for wd in list(self.uncertain):
                directory = self.directories.get(wd)
                if directory is None:
                    self.uncertain.discard(wd)
                elif self.directories.path(directory) is not None:
                    directory.searches += 1
                    if directory.searches <= _MAX_SEARCHES or directory.above is None:
                        self.uncertain.discard(wd)
                        directories.append(directory)
                    else:
                        directory.searches = 0
                        self.uncertain.add(directory.above.wd)
                        self.directories.detach(directory)
        return directories

    def pop_refused(self) -> list[WatchedDirectory]:
        """Return and clear the directories in which something could not be watched."""
        refused = list(self.refused)
        self.refused.difference_update(refused)
        with self.lock:
            directories = [self.directories.get(wd) for wd in refused]
        return [directory for directory in directories if directory is not None]

    def drop_detached(self) -> None:
        """Remove the watches of directories that were detached at the last call already."""
        with self.lock:
            detached = self.directories.detached()
            tops = [top for top in detached if top.wd in self._detached_before]
            dropped = [each for top in tops for each in self.directories.subtree(top)]
            for directory in dropped:
                self.directories.remove(directory)
            detached_wds = {directory.wd for directory in detached}
            self._detached_before = detached_wds - {directory.wd for directory in dropped}
        self._inotify.remove_watches((directory.wd, directory.key) for directory in dropped)

    def _open(self, directory: WatchedDirectory, flags: int = _SEARCH_ONLY) -> OpenDirectory | None:
        """Open a watched directory; None, and uncertain, if it is not where it should be."""
        with self.lock:
            path = self.directories.path(directory)
        try:
            if path is not None:
                opened = OpenDirectory(os.open(path, flags))
                if opened.dev << 64 | opened.ino == directory.identity:
                    directory.searches = 0
                    return opened
                opened.close()
        except OSError as error:
            if error.errno not in _GONE:
                self._report(directory, path or b"", error)
                return None
        self.uncertain.add(directory.wd)
        return None

    def _explore(self, pending: list[Branch]) -> None:
        while pending:
            directory, names, _ = pending.pop()
            if names and (opened := self._open(directory)):
                with opened:
                    branches = (self._add(directory, opened, name) for name in names)
                    pending.extend(b for b in branches if b is not None and b.names)

    def _add(self, above: WatchedDirectory, opened: OpenDirectory, name: bytes) -> Branch | None:
        """Watch the directory *name* in one that is *opened*; return it if it is new there."""
        fd = -1
        try:
            with self.lock:
                fd = os.open(name, _LISTING, dir_fd=opened.fd)
                directory, new = self._attach(above, name, fd)
            if directory is None:
                return None
            names, empty = self._list(directory, fd) if new else ([], False)
            return Branch(directory, names, empty)
        except OSError as error:
            if error.errno not in _GONE:  # after a rename, the new name is announced
                self._report(above, self._path(above, name), error)
            return None
        finally:
            if fd >= 0:
                os.close(fd)

    def _attach(
        self, above: WatchedDirectory, name: bytes, fd: int
    ) -> tuple[WatchedDirectory | None, bool]:
        """Watch a directory and attach it; return it if it was not there, and whether it is new.

        The caller holds the lock.  Raises OSError.
        """
        directories, identity = self.directories, _identity(fd)
        known = directories.child(above, name)
        dropped = directories.get(above.wd) is not above
        if dropped or (known is not None and known.identity == identity):
            return None, False
        watched = self._watch(fd, identity)
        attached = directories.attach(above, name, watched)
        if attached is not watched:  # it already has a watch
            self._inotify.remove_watches([(watched.wd, watched.key)])
        return attached, attached is watched

    def _list(self, directory: WatchedDirectory, fd: int) -> tuple[list[bytes], bool]:
        empty, names = True, []
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    empty = False
                    if entry.is_dir(follow_symlinks=False):
                        names.append(os.fsencode(entry.name))
        except OSError as error:
            self._report(directory, self._path(directory), error)
            return [], False
        if self.pseudo and names:
            prefix = self._path(directory).rstrip(b"/") + b"/"
            names = [name for name in names if prefix + name not in self.pseudo]
        return names, empty

    def _watch(self, fd: int, identity: int, events: int = DIRECTORY_EVENTS) -> WatchedDirectory:
        key = next(self._keys)
        return WatchedDirectory(self._inotify.add_watch(fd, events, key), key, identity)

    def _path(self, directory: WatchedDirectory, name: bytes = b"") -> bytes:
        """Return a path for messages; empty if the directory is detached."""
        with self.lock:
            return self.directories.path(directory, name) or b""

    def _report(self, directory: WatchedDirectory, path: bytes, error: OSError) -> None:
        """Report that something in *directory* could not be watched, and record it for a retry."""
        self.refused.add(directory.wd)
        name = self._root.name
        if error.errno in _LIMITS:
            detail = f"no watch left for {escape_path(path)} (fs.inotify.max_user_watches)"
            missed = MissedEvents(name, Cause.WATCH_LIMIT, detail)
        else:
            missed = MissedEvents(name, Cause.UNLISTED, error.strerror or str(error), path)
        self._listener.report_missed(missed)


def _identity(fd: int) -> int:
    """Return device and inode number as one integer: one object for each watched directory."""
    status = os.fstat(fd)
    return status.st_dev << 64 | status.st_ino
