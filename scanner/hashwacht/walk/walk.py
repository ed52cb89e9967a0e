"""Walking a tree that its owners change while we walk it.

Depth first, without recursion, in memory and descriptors that do not depend on the tree (see
:mod:`hashwacht.walk.listing` and :mod:`hashwacht.walk.trail`).  Every directory is opened by
one name relative to the one above, never through a link, so that nothing outside the root can be
reached, whatever is renamed meanwhile.  What the walk could not list is a value like everything
else: a :class:`~hashwacht.walk.listing.ListingProblem` of a Directory.  What vanished is just gone.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Generator, Iterable, Iterator

from hashwacht.core.errors import UsageError
from hashwacht.core.paths import escape_path
from hashwacht.platform.safe_open import OpenDirectory
from hashwacht.walk.listing import (
    FileEntry,
    ListedDirectory,
    Listing,
    ListingProblem,
    SkipReason,
    WalkLimits,
    Window,
)
from hashwacht.walk.rules import ExclusionRules
from hashwacht.walk.trail import GONE_ERRNOS, WalkStack


def never_listed(_path: bytes) -> bool:
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
        rules: ExclusionRules,
        *,
        one_file_system: bool = True,
        listed: Callable[[bytes], bool] = never_listed,
        bounds: WalkLimits = WalkLimits(),  # noqa: B008  (it is frozen)
    ) -> None:
        """Nothing is opened yet."""
        self._root, self._rules = root, rules
        self._one_file_system, self._listed = one_file_system, listed
        self._bounds, self._device = bounds, -1

    def walk(self) -> Generator[ListedDirectory, None, None]:
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
            raise UsageError(f"there is no {escape_path(self._root)}", advice=advice) from error
        self._insist(path, directory=stat.S_ISDIR(kind))
        if stat.S_ISDIR(kind):
            yield from self._tree(path)
        else:
            yield from self._single(path)

    def _insist(self, path: bytes, *, directory: bool) -> None:
        where, rule = self._rules.trace(path, directory=directory)
        if rule and not rule.includes:
            raise UsageError(
                f"nothing in {escape_path(self._root)} is scanned: the rule {rule} excludes"
                f" {escape_path(where)}",
                advice="Remove that rule, or take it back with one that begins with !.",
            )

    def _single(self, path: bytes) -> Iterator[ListedDirectory]:
        parent, name = os.path.split(path)
        with OpenDirectory.at(parent, listable=False) as handle:
            found = os.stat(name, dir_fd=handle.fd, follow_symlinks=False)
            if stat.S_ISREG(found.st_mode):
                yield ListedDirectory(parent, [FileEntry.from_stat(name, found)], [], handle=handle)
            else:
                yield ListedDirectory(parent, [], [], special=1)

    def _tree(self, path: bytes) -> Iterator[ListedDirectory]:
        root = OpenDirectory.at(path)
        self._device = root.dev
        trail = WalkStack(path, root, self._bounds)
        try:
            yield from self._list(trail, root)
            while not trail.deepest.done or len(trail.levels) > 1:
                if trail.deepest.done:
                    trail.pop_level()
                else:
                    yield from self._step(trail)
        finally:
            trail.close()

    def _step(self, trail: WalkStack) -> Iterable[ListedDirectory]:
        """Go to the next subdirectory of the deepest directory, which has some left."""
        try:
            handle = trail.handle()
            if handle and not trail.deepest.pending:
                self._look_again(trail, handle)
        except OSError as error:
            return self._lost(trail, ListingProblem.from_os_error(error))
        if handle is None:
            detail = "it was moved away while it was walked"
            return self._lost(trail, ListingProblem(b"", SkipReason.CHANGED, detail))
        return self._visit(trail, handle, trail.next()) if trail.deepest.pending else ()

    def _look_again(self, trail: WalkStack, handle: OpenDirectory) -> None:
        window = Window(trail.deepest.after, self._bounds.pending)
        Listing(trail.path, handle, self._rules, self._bounds).subdirectories(window)
        trail.set_pending(window)

    @staticmethod
    def _lost(trail: WalkStack, problem: ListingProblem) -> Iterable[ListedDirectory]:
        """Give up what is left below the deepest directory."""
        trail.drop_pending()
        return (ListedDirectory(trail.path, [], [problem]),)

    def _visit(
        self, trail: WalkStack, parent: OpenDirectory, name: bytes
    ) -> Iterable[ListedDirectory]:
        path = trail.below(name)
        try:
            directory = parent.directory(name)
        except OSError as error:
            return (
                ()
                if error.errno in GONE_ERRNOS
                else (ListedDirectory(path, [], [ListingProblem.from_os_error(error)]),)
            )
        if problem := self._refusal(trail, path, directory):
            directory.close()
            return (ListedDirectory(path, [], [problem]),)
        trail.push(name, path, directory)
        return self._list(trail, directory)

    def _refusal(
        self, trail: WalkStack, path: bytes, directory: OpenDirectory
    ) -> ListingProblem | None:
        """Say why *directory* is not to be entered, if so."""
        if self._one_file_system and directory.dev != self._device:
            return ListingProblem(
                b"", SkipReason.OTHER_FILE_SYSTEM, "another file system is mounted here"
            )
        if trail.contains(directory):
            return ListingProblem(b"", SkipReason.LOOP, "a directory above it is mounted here")
        if len(path) > self._bounds.path:
            detail = f"its path is longer than {self._bounds.path} bytes"
            return ListingProblem(b"", SkipReason.TOO_DEEP, detail)
        return None

    def _list(self, trail: WalkStack, handle: OpenDirectory) -> Iterable[ListedDirectory]:
        """List the deepest directory, which was just entered."""
        window = Window(None, self._bounds.pending)
        listing = Listing(trail.path, handle, self._rules, self._bounds)
        listed = self._listed(trail.path)
        found = self._passed(trail, listing, window) if listed else listing.portions(window)
        if not isinstance(found, tuple):
            return self._at_length(trail, found, window)
        trail.set_pending(window)  # it is small, so all of it was listed already
        return found

    @staticmethod
    def _passed(trail: WalkStack, listing: Listing, window: Window) -> tuple[ListedDirectory, ...]:
        try:
            listing.subdirectories(window)
        except OSError as error:
            return (ListedDirectory(trail.path, [], [ListingProblem.from_os_error(error)]),)
        return ()

    @staticmethod
    def _at_length(
        trail: WalkStack, portions: Iterator[ListedDirectory], window: Window
    ) -> Iterator[ListedDirectory]:
        yield from portions
        trail.set_pending(window)
