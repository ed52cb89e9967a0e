"""What follows from a verdict: a case, an action, its trace in the audit log, an alert.

Read ``settle`` first.  The order is what makes it survive ``kill -9`` at any instant:

1. The case and what is about to be done are recorded, durably (the place is *pending*).
2. It is done.
3. What was done is recorded, durably.

Who finds a place pending later, with the turn in hand, knows that it was interrupted, and asks
the hands what became of the file.  So settling the same file again changes nothing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from hashwacht.cases.action_limit import Guard
from hashwacht.cases.action_retry import Retrying
from hashwacht.cases.actions import UNCLEAR, Performer
from hashwacht.cases.case_locations import UNDETERMINED, Placing, standing
from hashwacht.cases.case_lock import Turn
from hashwacht.cases.case_opening import Found, opened, reopen
from hashwacht.cases.file_actions import Hands, Undone
from hashwacht.cases.ledger import Book
from hashwacht.cases.policy import Policies, decide
from hashwacht.core.types import Action, FileId, Outcome
from hashwacht.settings import GuardSettings, RootSettings
from hashwacht.storage.cases import CaseState
from hashwacht.storage.locations import Place, PlaceState

_OTHER = "it holds another content now"
_ONLY_KNOWN = (Action.ALLOW, Action.OBSERVE)
_IN_FORCE = {
    PlaceState.OBSERVED: Action.OBSERVE,
    PlaceState.WAITING: Action.OBSERVE,
    PlaceState.FAILED: Action.OBSERVE,
    PlaceState.HELD: Action.HOLD,
    PlaceState.QUARANTINED: Action.QUARANTINE,
}


class Casework:
    """Decides about files, acts upon them and keeps cases.

    Thread-safe; commands may act at the same time, see :mod:`hashwacht.cases.case_lock`.
    """

    def __init__(
        self,
        *,
        book: Book,
        hands: Hands,
        turn: Turn,
        roots: Mapping[str, RootSettings],
        guard: GuardSettings,
    ) -> None:
        """Take the parts; *roots* by name."""
        self._book, self._store, self._hands, self._turn = book, book.store, hands, turn
        self._policies = Policies(roots)
        self._placing = Placing(Guard(book.store.places, book.store.floods, guard))
        self._performer = Performer(book, hands)
        self._retrying = Retrying(
            book=book,
            hands=hands,
            turn=turn,
            policies=self._policies,
            placing=self._placing,
            performer=self._performer,
        )

    def settle(self, found: Found) -> Action:
        """Do what a verdict asks for, and give what is in force now.

        Any number of times for the same file.  An action that fails is recorded, told and tried
        again by ``retry``.  Raises StateError if nothing can be recorded; then do it again.
        """
        if self._is_nothing(found):
            return Action.ALLOW
        with self._turn.taken(), _open(found) as (present, problem):
            if self._hands.moves(found.path):
                return Action.ALLOW  # it is told of where it comes to rest
            wanted, place = self._settled(present, problem)
        in_force = Action.ALLOW if place is None else _IN_FORCE.get(place.state, Action.ALLOW)
        return wanted if (wanted, in_force) == _ONLY_KNOWN else in_force

    def retry(self, now: float) -> None:
        """Do what is due; to be called every few seconds.  Raises StateError."""
        self._retrying.retry(now)

    def settle_upload(self, key: str) -> None:
        """Open the case of a content that web applications told about, or forget what they told.

        ``retry`` does so too, once a minute for all of them.  Raises StateError.
        """
        self._retrying.settle_upload(key)

    def _settled(self, found: Found, problem: Undone | None) -> tuple[Action, Place | None]:
        """Record, act, record; the turn is ours.  *problem*: why its file could not be opened."""
        here = self._arrived(found)
        with self._book.page() as page:
            case = opened(page, found)
            released = case is not None and case.state is CaseState.RELEASED
            decision = decide(found.verdict, self._policies.of(found.root), released=released)
            decision = standing(here, found, decision)
            restored = here is not None and here.state is PlaceState.RESTORED
            if decision.action is Action.ALLOW or restored:
                place = self._placing.dropped(page, here, found)
            elif problem is not None and problem.lost:
                place = self._placing.lost(page, here, found, decision, str(problem))
            else:
                place = self._placing.placed(page, case, here, found, decision)
        if place is not None and place.state is PlaceState.PENDING:
            place = self._performer.act(place, found.fd)
        if place is not None and decision.action is Action.ALLOW and _lifts(found, place):
            place = self._performer.release(place, decision.rule)
        return decision.action, place

    def _arrived(self, found: Found) -> Place | None:
        """Give what is known of this content at this path, interrupted acts cleared up.

        What is known of other contents there is history: they were replaced.
        """
        here = None
        for place in self._store.places.live(found.path):
            known = self._performer.clear_up(place) if place.state in UNCLEAR else place
            if known.key == found.key and known.state.live:
                here = known
                continue
            if known.state.live:
                same_file = (known.file.dev, known.file.ino) == (found.id.dev, found.id.ino)
                self._performer.gone(known, _OTHER, rewritten=same_file)
        return self._met(here, found)

    def _met(self, here: Place | None, found: Found) -> Place | None:
        """Take in that the file is held already, whatever is known: it may have been moved here."""
        held = self._hands.holding(found.fd) if found.fd is not None and _is_shut(found.fd) else ""
        if not held or (here is not None and here.held and here.file == found.id):
            return here
        with self._book.page() as page:
            case = self._store.cases.find(found.key)
            return self._placing.met(page, case, here, found, held)

    def _is_nothing(self, found: Found) -> bool:
        """Say, with two cheap questions, if this file is like almost all others."""
        verdict = found.verdict
        if verdict.outcome is Outcome.MATCH or verdict.suppressed:
            return False
        missing = verdict.outcome is Outcome.UNDETERMINED
        if missing and self._policies.holds_undetermined(found.root):
            return False
        if found.fd is not None and _is_shut(found.fd):  # it may be held, and moved here
            return False
        return not self._store.places.live(found.path) and not self._store.cases.find(found.key)


def _lifts(found: Found, place: Place) -> bool:
    """Say if a verdict ends a holding: not if an answer is missing that once was a match."""
    missing = found.verdict.outcome is Outcome.UNDETERMINED
    return bool(place.held) and (not missing or place.rule == UNDETERMINED)


def _is_shut(fd: int) -> bool:
    """Say if nobody may open a file, as if it were held.  Costs as little as can be."""
    return stat.S_IMODE(os.fstat(fd).st_mode) == 0


@contextmanager
def _open(found: Found) -> Iterator[tuple[Found, Undone | None]]:
    """Give it with its descriptor; or say why it has none."""
    if found.fd is not None:
        yield found, None
        return
    fd = reopen(found.path, found.key, found.id)
    if isinstance(fd, Undone):
        yield found, fd
        return
    try:
        yield replace(found, fd=fd, id=FileId.of(os.fstat(fd))), None
    finally:
        os.close(fd)
