"""What people decide about cases: restore, release, destroy, close, note.

Every decision takes the turn for one file at a time, so it works beside a running daemon and
without one, and neither ever sees the other's half-done work.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

from hashwacht.audit.entry import JSON
from hashwacht.audit.log import Act
from hashwacht.cases.actions import UNCLEAR, Performer
from hashwacht.cases.case_lock import Turn
from hashwacht.cases.file_actions import Hands, Undone, Wish
from hashwacht.cases.ledger import Book
from hashwacht.core.paths import show
from hashwacht.storage.cases import Case, CaseState
from hashwacht.storage.locations import Place, PlaceState

UNFINISHED = (
    PlaceState.PENDING,
    PlaceState.WAITING,
    PlaceState.FAILED,
    PlaceState.HELD,
    PlaceState.QUARANTINED,
    PlaceState.RESTORING,
    PlaceState.DESTROYING,
)
"""States of places about which something can still be decided."""

_SEE = "`hashwacht cases show` says what became of it, `hashwacht audit show` who decided that."
_NOT_HELD = Undone("not-sealed", "it is neither held nor sealed", _SEE)
_NOT_SEALED = Undone("not-sealed", "only what is sealed can be destroyed", _SEE)
_TAKEN = "Name another path with --to, or move away what lies there."
_RESTORED_HERE = "another file was restored to its path"


@dataclass(frozen=True, slots=True)
class DecisionResult:
    """What came of a decision about one place."""

    place: Place
    problem: Undone | None = None
    receipt: JSON = None
    """Of a file that was destroyed."""


class Desk:
    """Carries decisions out, with a reason for each."""

    def __init__(self, book: Book, hands: Hands, turn: Turn) -> None:
        """Write who decides into *book*."""
        self._book, self._hands, self._turn = book, hands, turn
        self._store = book.store
        self._performer = Performer(book, hands)

    def restore(self, place: Place, wish: Wish) -> DecisionResult:
        """Put a sealed file back, or let a held one be served; it is left alone there from now on.

        Raises StateError.
        """
        with self._turn.taken():
            fresh = self._fresh(place)
            if fresh.state is PlaceState.HELD:
                return self._unhold(fresh, wish.why)
            if fresh.state is not PlaceState.QUARANTINED:
                return DecisionResult(fresh, _NOT_HELD)
            return self._restore(fresh, wish)

    def release(
        self, case: Case, wish: Wish, *, sealed_too: bool = True
    ) -> Iterator[DecisionResult]:
        """Leave a content alone from now on, wherever it is, and give back all files of it.

        *sealed_too*: those in the vault as well.  Raises StateError.
        """
        with self._turn.taken():
            self._ruled(case, CaseState.RELEASED, Act.RELEASED, wish.why)
        for place in self._store.places.of(case.key, -1, *UNFINISHED):
            with self._turn.taken():
                fresh = self._fresh(place)
                if fresh.held:
                    yield _shown(self._performer.release(fresh, wish.why))
                elif fresh.state is PlaceState.QUARANTINED:
                    if sealed_too:
                        yield self._restore(fresh, wish)
                elif fresh.state in UNFINISHED:
                    yield DecisionResult(self._dropped(fresh))

    def destroy(self, place: Place, why: str) -> DecisionResult:
        """Destroy a sealed file for good; the receipt is in the vault and in the audit log."""
        with self._turn.taken():
            fresh = self._fresh(place)
            if fresh.state is not PlaceState.QUARANTINED:
                return DecisionResult(fresh, _NOT_SEALED)
            begun = replace(fresh, state=PlaceState.DESTROYING, due=self._book.clock())
            with self._book.page() as page:
                page.place(begun)
            done = self._hands.destroy(fresh, who=self._book.who, why=why)
            if isinstance(done, Undone):
                return self._back(fresh, done, Act.DESTROYED)
            with self._book.page() as page:
                ended = replace(begun, state=PlaceState.DESTROYED, due=None, detail=done.detail)
                kept = page.place(ended, Act.DESTROYED, **done.facts)
                return DecisionResult(kept, receipt=done.facts.get("receipt"))

    def close(self, case: Case, why: str) -> Case:
        """Say that a case is dealt with; found again, it is open again."""
        with self._turn.taken():
            return self._ruled(case, CaseState.CLOSED, Act.CASE_CLOSED, why)

    def close_if_done(self, case: Case, why: str) -> None:
        """Close a case that is open if there is nothing left to be decided about its files."""
        with self._turn.taken():
            fresh = self._store.cases.get(case.id)
            left = self._store.places.counts(case.key).keys() & set(UNFINISHED)
            if fresh is not None and fresh.state is CaseState.OPEN and not left:
                self._ruled(fresh, CaseState.CLOSED, Act.CASE_CLOSED, why)

    def note(self, case: Case, text: str) -> None:
        """Write something about a case."""
        with self._book.page() as page:
            self._store.cases.note(case.id, page.now, self._book.who, text)
            page.audit(Act.NOTED, case=case.id, sha256=case.key, text=text)

    def _ruled(self, case: Case, state: CaseState, act: Act, why: str) -> Case:
        with self._book.page() as page:
            fresh = self._store.cases.get(case.id) or case
            self._store.cases.note(case.id, page.now, self._book.who, f"{act}: {why}")
            return page.case(replace(fresh, state=state, updated=page.now), act, reason=why)

    def _fresh(self, place: Place) -> Place:
        """Give a place as it is now, an interrupted act cleared up."""
        fresh = self._store.places.get(place.id) or place
        return self._performer.clear_up(fresh) if fresh.state in UNCLEAR else fresh

    def _unhold(self, place: Place, why: str) -> DecisionResult:
        """Let a held file be served, under all its names: they are one file (hard links)."""
        outcome = _shown(self._performer.release(place, why))
        if outcome.problem is not None:
            return outcome
        with self._book.page() as page:
            for other in self._store.places.of(place.key, -1, PlaceState.HELD):
                if other.is_same_file(place):
                    page.place(_left_alone(other), Act.RESTORED, reason=why)
            return DecisionResult(page.place(_left_alone(outcome.place), Act.RESTORED, reason=why))

    def _restore(self, place: Place, wish: Wish) -> DecisionResult:
        target = wish.to or place.path
        if os.path.lexists(target):
            return self._back(place, Undone("taken", show(target), _TAKEN), Act.RESTORED)
        for other in map(self._fresh, self._store.places.live(target)):
            if other.state.live:
                self._performer.gone(other, _RESTORED_HERE, rewritten=False)
        begun = replace(place, state=PlaceState.RESTORING, path=target, due=self._book.clock())
        with self._book.page() as page:
            page.place(begun)
        done = self._hands.restore(place, wish, self._book.who)
        if isinstance(done, Undone):
            return self._back(place, done, Act.RESTORED)
        with self._book.page() as page:
            restored = replace(begun, state=PlaceState.RESTORED, due=None, detail=done.detail)
            return DecisionResult(
                page.place(restored, Act.RESTORED, detail=done.detail, **done.facts)
            )

    def _back(self, place: Place, problem: Undone, tried: Act) -> DecisionResult:
        """Record that a sealed file stays sealed."""
        with self._book.page() as page:
            kept = page.place(place, Act.FAILED, tried=str(tried), detail=str(problem))
        return DecisionResult(kept, problem)

    def _dropped(self, place: Place) -> Place:
        with self._book.page() as page:
            observed = replace(place, state=PlaceState.OBSERVED, due=None, counted=None, flood=None)
            return page.place(observed, Act.LET_BE)


def _shown(place: Place) -> DecisionResult:
    """Say whether a holding has ended."""
    ended = place.state is PlaceState.RELEASED
    return DecisionResult(place, None if ended else Undone(str(place.state), place.detail, _SEE))


def _left_alone(place: Place) -> Place:
    return replace(place, state=PlaceState.RESTORED, held="", due=None, flood=None)
