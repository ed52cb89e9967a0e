"""When what the state knows of a file can stand for another look at it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hashwacht.core.types import FileId, Outcome, Reason
from hashwacht.pipeline import Pipeline
from hashwacht.storage.files import KnownFile
from hashwacht.storage.store import Store
from hashwacht.storage.unchanged_directories import VerdictRequirement

RETRYABLE_REASONS = frozenset(
    {Reason.TIMED_OUT, Reason.WORKER_DIED, Reason.HASHER_FAILED, Reason.NEEDS_EXACT_HASH}
)
"""What may go better the next time although the file is the same."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """What a stored look at a file must have had, to stand for another one.

    *recipe* are the signal types with versions, *epoch* the panel's number in the state,
    *not_before* the oldest date (Unix time) at which an answer that ages still holds; *given_up*
    says which contents ended their workers so often that they are not decoded again,
    *undecided* of which ones quick hashes are stored that are too near an entry of a list.
    """

    recipe: frozenset[str]
    epoch: int
    not_before: float
    full: bool
    run: int
    is_blocked_content: Callable[[int], bool]
    needs_exact_hash: Callable[[int], bool]

    @property
    def verdict_requirement(self) -> VerdictRequirement:
        """The same for whole directories, whatever the run."""
        return VerdictRequirement(self.recipe, self.epoch, self.not_before)

    def is_reusable(self, known: KnownFile | None, file: FileId) -> bool:
        """Say if the file is unchanged and was read for everything that is wanted."""
        return (
            known is not None
            and known.content is not None
            and known.id == file
            and (not self.full or known.run == self.run)
            and self.recipe.issubset(known.recipe)
            and not (
                known.reason in RETRYABLE_REASONS and not self.is_blocked_content(known.content)
            )
            and not (known.knowledge_id != self.epoch and self.needs_exact_hash(known.content))
        )

    def settled(self, known: KnownFile) -> bool:
        """Say if nobody has to be asked and nothing told: no match, and every answer holds."""
        return (
            known.outcome is Outcome.NO_MATCH
            and known.knowledge_id == self.epoch
            and known.asked_at is not None
            and known.asked_at >= self.not_before
        )


def required_freshness(
    store: Store, pipeline: Pipeline, now: float, *, full: bool = False, run: int = 0
) -> Freshness:
    """Say what is wanted today (Unix time *now*) by these matchers and this fingerprinter."""

    def needs_exact_hash(content: int) -> bool:
        stored = store.contents.load([content]).values()
        return any(pipeline.matcher_set.needs_exact_hash(each.fingerprint) for each in stored)

    return Freshness(
        recipe=frozenset(pipeline.fingerprinter.recipe),
        epoch=store.knowledge_ids.resolve(pipeline.matcher_set.knowledge_id),
        not_before=pipeline.matcher_set.not_before(now),
        full=full,
        run=run,
        is_blocked_content=store.crash_log.is_blocked_content,
        needs_exact_hash=needs_exact_hash,
    )
