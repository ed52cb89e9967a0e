"""The conditions under which a stored result replaces reading a file again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hashwacht.core.types import FileId, Outcome, Reason
from hashwacht.pipeline import Pipeline
from hashwacht.storage.files import Files, KnownFile
from hashwacht.storage.store import Store
from hashwacht.storage.unchanged_directories import VerdictRequirement

RETRYABLE_REASONS = frozenset(
    {Reason.TIMED_OUT, Reason.WORKER_DIED, Reason.HASHER_FAILED, Reason.NEEDS_EXACT_HASH}
)
"""Reasons for an undetermined content that may not recur when the same bytes are read again."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """Requirements on a stored result.

    *recipe* lists the signal types, with versions, that must have been attempted.
    *knowledge_id* is the storage's number for what the matchers know now, *not_before* the oldest
    Unix time at which an answer that expires is still valid.  With *full*, only results of the
    scan *run* count.  *is_blocked_content* returns whether a content crashed its workers so often
    that it is not decoded again; *needs_exact_hash* whether only quick hashes of it are stored and
    they are too close to an entry of a hash list.
    """

    recipe: frozenset[str]
    knowledge_id: int
    not_before: float
    full: bool
    run: int
    is_blocked_content: Callable[[int], bool]
    needs_exact_hash: Callable[[int], bool]

    @property
    def verdict_requirement(self) -> VerdictRequirement:
        """The requirements on the files of a directory that is skipped as a whole."""
        return VerdictRequirement(self.recipe, self.knowledge_id, self.not_before)

    def is_reusable(self, known: KnownFile | None, file: FileId) -> bool:
        """Return whether *file* is unchanged and its stored fingerprint is complete."""
        return (
            known is not None
            and known.content is not None
            and known.id == file
            and (not self.full or known.run == self.run)
            and self.recipe.issubset(known.recipe)
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

    return Freshness(
        recipe=frozenset(pipeline.fingerprinter.recipe),
        knowledge_id=store.knowledge_ids.resolve(matcher_set.knowledge_id),
        not_before=matcher_set.not_before(now),
        full=full,
        run=run,
        is_blocked_content=store.crash_log.is_blocked_content,
        needs_exact_hash=needs_exact_hash,
    )
