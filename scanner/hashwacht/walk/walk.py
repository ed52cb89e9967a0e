"""The walk of a directory tree that its owners may change at the same time.

It goes depth first, without recursion, and its memory and descriptors do not depend on the tree
(see :mod:`hashwacht.walk.listing` and :mod:`hashwacht.walk.walk_stack`).  Every directory is opened
by one name relative to its parent and never through a link, so that nothing outside the root can
be reached, whatever is renamed meanwhile.  A directory that cannot be listed is reported as a
:class:`~hashwacht.walk.listing.ListingProblem`; one that was removed is ignored.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Generator, Iterable, Iterator

from hashwacht.core.errors import UsageError
from hashwacht.core.paths import escape_path
from hashwacht.platform.filesystems.mounts import FileSystemScope
from hashwacht.platform.filesystems.volumes import VOLUMES
from hashwacht.platform.safe_open import OpenDirectory
from hashwacht.walk.boundary import WalkBoundary
from hashwacht.walk.listing import (
    FileEntry,
    ListedDirectory,
    Listing,
    ListingProblem,
    SkipReason,
    SubdirectoryBatch,
    WalkLimits,
)
from hashwacht.walk.rules import ExclusionRules
from hashwacht.walk.walk_stack import GONE_ERRNOS, WalkStack

_PATH_MAX = 4096
"""Bytes from which on no system call accepts a path (path_resolution(7))."""

PARENT_MOUNTED = "one of its parent directories is mounted here"


def examine(path: bytes, name: bytes) -> os.stat_result:
    """Return the lstat(2) of *path*, of any length.

    Raises UsageError about *name* if it does not exist.
    """
    try:
        if len(path) < _PATH_MAX:
            return os.lstat(path)
        parent, last = os.path.split(path)
        with OpenDirectory.at(parent, listable=False) as directory:
            return os.stat(last, dir_fd=directory.fd, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(
            f"{escape_path(name)} does not exist", advice="Check the spelling of the path."
        ) from error


def never_listed(_path: bytes) -> bool:
    """Return False: no directory has been listed before."""
    return False


class Walker:
    """Walks the tree below one root, which may also be a single file.

    *root* is trusted: links in it are resolved once, when the walk begins.  Rules apply to the root
    and the directories above it as well.  *scope* decides which file systems below the root are
    entered; the others are reported as problems (files are always included: on overlays their
    device differs from that of their directory).  *listed* returns whether an earlier run has
    recorded the files of a directory, by path: then only its subdirectories are walked.
    """

    def __init__(
        self,
        root: bytes,
        rules: ExclusionRules,
        *,
        scope: FileSystemScope = FileSystemScope.LOCAL,
        listed: Callable[[bytes], bool] = never_listed,
        limits: WalkLimits = WalkLimits(),  # noqa: B008  (it is frozen)
    ) -> None:
        self._root, self._rules = root, rules
        self._scope, self._listed = scope, listed
        self._limits = limits

    def walk(self) -> Generator[ListedDirectory, None, None]:
        """Yield all directories, each before those below it, in one or more portions.

        A caller that stops early has to close the generator, which holds descriptors.  The order
        within a directory is that of inode numbers.  Raises UsageError if the root does not exist
        or a rule excludes it, OSError if it cannot be opened.
        """
        path = os.path.realpath(self._root)
        is_directory = stat.S_ISDIR(examine(path, self._root).st_mode)
        excluded, rule = self._rules.trace(path, directory=is_directory)
        if rule and not rule.includes:
            raise UsageError(
                f"{escape_path(self._root)} is not scanned: rule {rule} excludes"
                f" {escape_path(excluded)}",
                advice="Remove the rule, or add an including rule that begins with !.",
            )
        yield from self._tree(path) if is_directory else self._single(path)

    def _single(self, path: bytes) -> Iterator[ListedDirectory]:
        parent, name = os.path.split(path)
        with OpenDirectory.at(parent, listable=False) as handle:
            VOLUMES.examine(handle.fd)
            status = os.stat(name, dir_fd=handle.fd, follow_symlinks=False)
            if stat.S_ISREG(status.st_mode):
                file = FileEntry.from_stat(name, status)
                yield ListedDirectory(parent, [file], [], handle=handle)
            else:
                yield ListedDirectory(parent, [], [], special=1)

    def _tree(self, path: bytes) -> Iterator[ListedDirectory]:
        root = OpenDirectory.at(path)
        VOLUMES.examine(root.fd)
        self._boundary = WalkBoundary(self._scope, root)
        stack = WalkStack(path, root, self._limits)
        try:
            yield from self._list(stack, root)
            while not stack.deepest.done or len(stack.levels) > 1:
                if stack.deepest.done:
                    stack.pop_level()
                else:
                    yield from self._step(stack)
        finally:
            stack.close()

    def _step(self, stack: WalkStack) -> Iterable[ListedDirectory]:
        """Enter the next subdirectory of the deepest directory, which has pending ones."""
        try:
            handle = stack.handle()
            if handle and not stack.deepest.pending:
                self._list_again(stack, handle)
        except OSError as error:
            return self._unlisted(stack, ListingProblem.from_os_error(error))
        if handle is None:
            detail = "it was moved away during the walk"
            return self._unlisted(stack, ListingProblem(b"", SkipReason.CHANGED, detail))
        return self._visit(stack, handle, stack.next()) if stack.deepest.pending else ()

    def _list_again(self, stack: WalkStack, handle: OpenDirectory) -> None:
        batch = SubdirectoryBatch(stack.deepest.after, self._limits.pending)
        Listing(stack.path, handle, self._rules, self._limits).subdirectories(batch)
        stack.set_pending(batch)

    @staticmethod
    def _unlisted(stack: WalkStack, problem: ListingProblem) -> Iterable[ListedDirectory]:
        """Drop the pending subdirectories of the deepest directory and report the problem."""
        stack.drop_pending()
        return (ListedDirectory(stack.path, [], [problem]),)

    def _visit(
        self, stack: WalkStack, parent: OpenDirectory, name: bytes
    ) -> Iterable[ListedDirectory]:
        path = stack.below(name)
        try:
            directory = parent.directory(name)
        except OSError as error:
            if error.errno in GONE_ERRNOS:
                return ()
            return (ListedDirectory(path, [], [ListingProblem.from_os_error(error)]),)
        if problem := self._refusal(stack, path, directory):
            directory.close()
            return (ListedDirectory(path, [], [problem]),)
        stack.push(name, path, directory)
        return self._list(stack, directory)

    def _refusal(
        self, stack: WalkStack, path: bytes, directory: OpenDirectory
    ) -> ListingProblem | None:
        crosses = directory.dev != stack.deepest.id[0]
        if crosses and (problem := self._boundary.refusal(directory)):
            return problem
        if crosses:
            VOLUMES.examine(directory.fd)
        if stack.contains(directory):
            return ListingProblem(b"", SkipReason.LOOP, PARENT_MOUNTED)
        if len(path) > self._limits.path:
            detail = f"its path is longer than {self._limits.path} bytes"
            return ListingProblem(b"", SkipReason.TOO_DEEP, detail)
        return None

    def _list(self, stack: WalkStack, handle: OpenDirectory) -> Iterable[ListedDirectory]:
        batch = SubdirectoryBatch(None, self._limits.pending)
        listing = Listing(stack.path, handle, self._rules, self._limits)
        done = self._listed(stack.path)
        portions = self._skip_files(stack, listing, batch) if done else listing.portions(batch)
        if not isinstance(portions, tuple):
            return self._list_portions(stack, portions, batch)
        stack.set_pending(batch)  # a small directory, which has been listed completely
        return portions

    @staticmethod
    def _skip_files(
        stack: WalkStack, listing: Listing, batch: SubdirectoryBatch
    ) -> tuple[ListedDirectory, ...]:
        try:
            listing.subdirectories(batch)
        except OSError as error:
            return (ListedDirectory(stack.path, [], [ListingProblem.from_os_error(error)]),)
        return ()

    @staticmethod
    def _list_portions(
        stack: WalkStack, portions: Iterator[ListedDirectory], batch: SubdirectoryBatch
    ) -> Iterator[ListedDirectory]:
        yield from portions
        stack.set_pending(batch)
