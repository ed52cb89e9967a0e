"""Comparing listed directories with what the storage knows of them.

An unchanged directory costs no query of its own: the storage reads ahead in the order of the walk.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from operator import itemgetter

from hashwacht.engine.freshness import Freshness
from hashwacht.storage.files import KnownFile
from hashwacht.storage.store import Store
from hashwacht.walk.listing import ListedDirectory, ListingProblem

_IDENTITY = itemgetter(slice(6))
"""Name, device, inode number, size and both times of a FileEntry."""


class StillPresent:
    """A container of the names that exist in the open *directory*, or of absolute paths.

    Names in *listed* count without a system call.  A name whose existence cannot be determined
    counts as present: only what is certainly gone is removed from the storage.
    """

    def __init__(self, listed: Collection[bytes] = (), directory: int | None = None) -> None:
        """*directory* is a descriptor; without one the names are absolute paths."""
        self._listed, self._directory = listed, directory

    def __contains__(self, name: object) -> bool:
        assert isinstance(name, bytes)
        if name in self._listed:
            return True
        try:
            os.stat(name, dir_fd=self._directory, follow_symlinks=False)
        except OSError as error:
            return not isinstance(error, (FileNotFoundError, NotADirectoryError))
        return True


class DirectoryComparer:
    """Compares the directories of one walk in the order of the walk.  Not thread-safe."""

    def __init__(self, store: Store, freshness: Freshness) -> None:
        """Use *freshness* for directories that are skipped as a whole."""
        self._files = store.files
        self._unchanged = store.unchanged_directories(freshness.verdict_requirement)
        self._continued = False

    def find_unchanged(self, directory: ListedDirectory) -> int | None:
        """Return the storage's number of a directory in which nothing has changed, else None.

        A directory that is listed in several parts is never skipped.
        """
        if self._continued or not directory.last or directory.problems:
            return None
        return self._unchanged.unchanged(directory.path, map(_IDENTITY, directory.files))

    def compare(
        self, directory: ListedDirectory
    ) -> tuple[Mapping[bytes, KnownFile], tuple[bytes, ...]]:
        """Return the stored state of the listed files, and the stored names that are gone.

        No name counts as gone before the last part, or if the directory could not be listed.
        """
        self._continued = not directory.last
        listed = [entry.name for entry in directory.files]
        known = self._files.load_directory(directory.path, listed)
        unlisted = any(not problem.name for problem in directory.problems)
        if not directory.last or directory.handle is None or unlisted:
            return known, ()
        present = StillPresent(frozenset(listed), directory.handle.fd)
        return known, tuple(self._files.missing_names(directory.path, present))


def unscanned(directory: ListedDirectory) -> Iterator[tuple[bytes, ListingProblem]]:
    """Yield the paths in a directory behind which files were missed, each with its problem."""
    for problem in directory.problems:
        if problem.skip_reason.loses_files:
            path = os.path.join(directory.path, problem.name)  # noqa: PTH118  # bytes
            yield (path if problem.name else directory.path), problem
