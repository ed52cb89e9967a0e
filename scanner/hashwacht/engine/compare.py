"""Comparing listed files with the storage: when a stored result replaces reading them again.

An unchanged directory costs no query of its own: the storage reads ahead in the order of the walk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from operator import itemgetter

from hashwacht.core.types import DECODERS, FileId, Outcome, Reason
from hashwacht.pipeline import Pipeline
from hashwacht.storage.files import Files, KnownFile
from hashwacht.storage.store import Store
from hashwacht.storage.unchanged_directories import VerdictRequirement
from hashwacht.walk.listing import ListedDirectory, ListingProblem

RETRYABLE_REASONS = frozenset(
    {Reason.TIMED_OUT, Reason.WORKER_DIED, Reason.HASHER_FAILED, Reason.NEEDS_EXACT_HASH}
)
"""Reasons for an undetermined content that may not recur when the same bytes are read again."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """Requirements on a stored result.

    *recipe* lists the signal types, with versions, that must have been attempted; *decoders* is
    the recipe entry that a content must have if it lacked a decoder, so that it is read again when
    one was installed.
    *knowledge_id* is the storage's number for what the matchers know now, *not_before* the oldest
    Unix time at which an answer that expires is still valid.  With *full*, only results of the
    scan *run* count.  *is_blocked_content* returns whether a content crashed its workers so often
    that it is not decoded again; *needs_exact_hash* whether only quick hashes of it are stored and
    they are too close to an entry of a hash list.
    """

    recipe: frozenset[str]
    decoders: frozenset[str]
    knowledge_id: int
    not_before: float
    full: bool
    run: int
    is_blocked_content: Callable[[int], bool]
    needs_exact_hash: Callable[[int], bool]

    def is_reusable(self, known: KnownFile | None, file: FileId) -> bool:
        """Return whether *file* is unchanged and its stored fingerprint is complete."""
        return (
            known is not None
            and known.content is not None
            and known.id == file
            and (not self.full or known.run == self.run)
            and self.recipe.issubset(known.recipe)
            and (known.reason is not Reason.NO_DECODER or self.decoders.issubset(known.recipe))
            and (known.reason not in RETRYABLE_REASONS or self.is_blocked_content(known.content))
            and (
                known.knowledge_id == self.knowledge_id or not self.needs_exact_hash(known.content)
            )
        )

    def is_settled(self, known: KnownFile) -> bool:
        """Return whether the stored verdict is NO_MATCH and every answer behind it is valid."""
        return (
            known.outcome is Outcome.NO_MATCH
            and known.knowledge_id == self.knowledge_id
            and known.asked_at is not None
            and known.asked_at >= self.not_before
        )

    def find_linked_content(self, files: Files, file: FileId, nlink: int) -> int | None:
        """Return the content that is stored under another hard link of *file*, if any."""
        if nlink == 1:
            return None
        other = files.load_by_inode(file.dev, file.ino)
        return other.content if other and self.is_reusable(other, file) else None


def required_freshness(
    store: Store, pipeline: Pipeline, now: float, *, full: bool = False, run: int = 0
) -> Freshness:
    """Return the requirements at Unix time *now* for the configured hashers and matchers."""
    matcher_set = pipeline.matcher_set

    def needs_exact_hash(number: int) -> bool:
        content = store.contents.load([number]).get(number)
        return content is not None and matcher_set.needs_exact_hash(content.fingerprint)

    recipe = pipeline.fingerprinter.recipe
    decoders = frozenset(entry for entry in recipe if entry.startswith(f"{DECODERS}/"))
    return Freshness(
        recipe=frozenset(recipe) - decoders,
        decoders=decoders,
        knowledge_id=store.knowledge_ids.resolve(matcher_set.knowledge_id),
        not_before=matcher_set.not_before(now),
        full=full,
        run=run,
        is_blocked_content=store.crash_log.is_blocked_content,
        needs_exact_hash=needs_exact_hash,
    )


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
        self._unchanged = store.unchanged_directories(
            VerdictRequirement(freshness.recipe, freshness.knowledge_id, freshness.not_before)
        )
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
