"""Walking a tree that its owners change while we walk it.

Depth first, without recursion, in memory and descriptors that do not depend on the tree (see
:mod:`hashwacht.walk.listing` and :mod:`hashwacht.walk.trail`).  Every directory is opened by
one name relative to the one above, never through a link, so that nothing outside the root can be
reached, whatever is renamed meanwhile.  What the walk could not list is a value like everything
else: a :class:`~hashwacht.walk.listing.Problem` of a Directory.  What vanished is just gone.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Generator, Iterable, Iterator

from hashwacht.core.errors import UsageError
from hashwacht.core.paths import show
from hashwacht.platform.safe_open import OpenDirectory
from hashwacht.walk.listing import Bounds, Directory, Entry, Listing, Obstacle, Problem, Window
from hashwacht.walk.rules import Rules
from hashwacht.walk.trail import GONE, Trail


def never(_path: bytes) -> bool:
    """Say of every directory that it is still to be listed."""
    return False


class Walker:
    """Walks the tree under one root, which may also be a single file.

    *root* is resolved once, links in it included, when the walk begins: it is the caller's own
    word.  Rules hold for the root and the directories above it as well.  With *one_file_system*
    directories of other file systems are named as problems and not entered (files are always
    taken: on overlays their device differs from their directory's).  *listed* tells of
    directories, by path, whose files an earlier run has done: only what is below is walked.
    """

    def __init__(
        self,
        root: bytes,
        rules: Rules,
        *,
        one_file_system: bool = True,
        listed: Callable[[bytes], bool] = never,
        bounds: Bounds = Bounds(),  # noqa: B008  (it is frozen)
    ) -> None:
        """Nothing is opened yet."""
        self._root, self._rules = root, rules
        self._one_file_system, self._listed = one_file_system, listed
        self._bounds, self._device = bounds, -1

    def walk(self) -> Generator[Directory, None, None]:
        """Yield all directories, each before those below it, in one or more portions.

        Close the generator if you leave it early: it holds descriptors.  The order within a
        directory is that of inode numbers.  Raises UsageError if there is no such root or a
        rule excludes it, OSError if the file system refuses to open it.
        """
        path = os.path.realpath(self._root)
        try:
            kind = os.lstat(path).st_mode
        except (FileNotFoundError, NotADirectoryError) as error:
            advice = "Check how it is written."
            raise UsageError(f"there is no {show(self._root)}", advice=advice) from error
        self._insist(path, directory=stat.S_ISDIR(kind))
        if stat.S_ISDIR(kind):
            yield from self._tree(path)
        else:
            yield from self._single(path)

    def _insist(self, path: bytes, *, directory: bool) -> None:
        where, rule = self._rules.trace(path, directory=directory)
        if rule and not rule.includes:
            raise UsageError(
                f"nothing in {show(self._root)} is scanned: the rule {rule} excludes {show(where)}",
                advice="Remove that rule, or take it back with one that begins with !.",
            )

    def _single(self, path: bytes) -> Iterator[Directory]:
        parent, name = os.path.split(path)
        with OpenDirectory.at(parent, to_list=False) as handle:
            found = os.stat(name, dir_fd=handle.fd, follow_symlinks=False)
            if stat.S_ISREG(found.st_mode):
                yield Directory(parent, [Entry.of(name, found)], [], handle=handle)
            else:
                yield Directory(parent, [], [], special=1)

    def _tree(self, path: bytes) -> Iterator[Directory]:
        root = OpenDirectory.at(path)
        self._device = root.dev
        trail = Trail(path, root, self._bounds)
        try:
            yield from self._list(trail, root)
            while not trail.deepest.done or len(trail.levels) > 1:
                if trail.deepest.done:
                    trail.leave()
                else:
                    yield from self._step(trail)
        finally:
            trail.close()

    def _step(self, trail: Trail) -> Iterable[Directory]:
        """Go to the next subdirectory of the deepest directory, which has some left."""
        try:
            handle = trail.handle()
            if handle and not trail.deepest.pending:
                self._look_again(trail, handle)
        except OSError as error:
            return self._lost(trail, Problem.refused(error))
        if handle is None:
            detail = "it was moved away while it was walked"
            return self._lost(trail, Problem(b"", Obstacle.CHANGED, detail))
        return self._visit(trail, handle, trail.next()) if trail.deepest.pending else ()

    def _look_again(self, trail: Trail, handle: OpenDirectory) -> None:
        window = Window(trail.deepest.after, self._bounds.pending)
        Listing(trail.path, handle, self._rules, self._bounds).subdirectories(window)
        trail.remember(window)

    @staticmethod
    def _lost(trail: Trail, problem: Problem) -> Iterable[Directory]:
        """Give up what is left below the deepest directory."""
        trail.forget()
        return (Directory(trail.path, [], [problem]),)

    def _visit(self, trail: Trail, parent: OpenDirectory, name: bytes) -> Iterable[Directory]:
        path = trail.below(name)
        try:
            directory = parent.directory(name)
        except OSError as error:
            return () if error.errno in GONE else (Directory(path, [], [Problem.refused(error)]),)
        if problem := self._refusal(trail, path, directory):
            directory.close()
            return (Directory(path, [], [problem]),)
        trail.enter(name, path, directory)
        return self._list(trail, directory)

    def _refusal(self, trail: Trail, path: bytes, directory: OpenDirectory) -> Problem | None:
        """Say why *directory* is not to be entered, if so."""
        if self._one_file_system and directory.dev != self._device:
            return Problem(b"", Obstacle.OTHER_FILE_SYSTEM, "another file system is mounted here")
        if trail.passes(directory):
            return Problem(b"", Obstacle.LOOP, "a directory above it is mounted here")
        if len(path) > self._bounds.path:
            detail = f"its path is longer than {self._bounds.path} bytes"
            return Problem(b"", Obstacle.TOO_DEEP, detail)
        return None

    def _list(self, trail: Trail, handle: OpenDirectory) -> Iterable[Directory]:
        """List the deepest directory, which was just entered."""
        window = Window(None, self._bounds.pending)
        listing = Listing(trail.path, handle, self._rules, self._bounds)
        listed = self._listed(trail.path)
        found = self._passed(trail, listing, window) if listed else listing.portions(window)
        if not isinstance(found, tuple):
            return self._at_length(trail, found, window)
        trail.remember(window)  # it is small, so all of it was listed already
        return found

    @staticmethod
    def _passed(trail: Trail, listing: Listing, window: Window) -> tuple[Directory, ...]:
        try:
            listing.subdirectories(window)
        except OSError as error:
            return (Directory(trail.path, [], [Problem.refused(error)]),)
        return ()

    @staticmethod
    def _at_length(
        trail: Trail, portions: Iterator[Directory], window: Window
    ) -> Iterator[Directory]:
        yield from portions
        trail.remember(window)
