"""When what the state knows of a file can stand for another look at it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hashwacht.core.types import FileId, Outcome, Reason
from hashwacht.pipeline import Pipeline
from hashwacht.storage.files import KnownFile
from hashwacht.storage.store import Store
from hashwacht.storage.unchanged_directories import Settled

READ_AGAIN = frozenset(
    {Reason.TIMED_OUT, Reason.WORKER_DIED, Reason.HASHER_FAILED, Reason.CLOSE_CALL}
)
"""What may go better the next time although the file is the same."""


@dataclass(frozen=True, slots=True)
class Wanted:
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
    given_up: Callable[[int], bool]
    undecided: Callable[[int], bool]

    @property
    def answered(self) -> Settled:
        """The same for whole directories, whatever the run."""
        return Settled(self.recipe, self.epoch, self.not_before)

    def reusable(self, known: KnownFile | None, file: FileId) -> bool:
        """Say if the file is unchanged and was read for everything that is wanted."""
        return (
            known is not None
            and known.content is not None
            and known.id == file
            and (not self.full or known.run == self.run)
            and self.recipe.issubset(known.recipe)
            and not (known.reason in READ_AGAIN and not self.given_up(known.content))
            and not (known.epoch != self.epoch and self.undecided(known.content))
        )

    def settled(self, known: KnownFile) -> bool:
        """Say if nobody has to be asked and nothing told: no match, and every answer holds."""
        return (
            known.outcome is Outcome.NO_MATCH
            and known.epoch == self.epoch
            and known.asked_at is not None
            and known.asked_at >= self.not_before
        )


def wanted(
    store: Store, pipeline: Pipeline, now: float, *, full: bool = False, run: int = 0
) -> Wanted:
    """Say what is wanted today (Unix time *now*) by these matchers and this fingerprinter."""

    def undecided(content: int) -> bool:
        stored = store.contents.load([content]).values()
        return any(pipeline.panel.close_call(each.fingerprint) for each in stored)

    return Wanted(
        recipe=frozenset(pipeline.fingerprinter.recipe),
        epoch=store.epochs.of(pipeline.panel.epoch),
        not_before=pipeline.panel.not_before(now),
        full=full,
        run=run,
        given_up=store.culprits.given_up,
        undecided=undecided,
    )
