"""What is done later: what failed, what somebody has let go, and what a crash interrupted."""

from __future__ import annotations

from hashwacht.cases import wording
from hashwacht.cases.actions import UNCLEAR, Performer
from hashwacht.cases.case_locations import UNDETERMINED, Placing
from hashwacht.cases.case_lock import Turn
from hashwacht.cases.file_actions import Hands
from hashwacht.cases.late_uploads import Uploaded
from hashwacht.cases.ledger import Book
from hashwacht.cases.policy import Decision, Policies, decide
from hashwacht.core.notice import NoticeKind
from hashwacht.core.types import Action, Outcome, Reason, Verdict
from hashwacht.storage.cases import CaseState
from hashwacht.storage.locations import Place, PlaceState

BATCH = 100
"""Places that one call of ``retry`` tries at the most."""

UPLOADED = 60.0
"""Seconds between two looks at what web applications have told."""


class Retrying:
    """Comes back to places that are due, and decides anew about each."""

    def __init__(
        self,
        *,
        book: Book,
        hands: Hands,
        turn: Turn,
        policies: Policies,
        placing: Placing,
        performer: Performer,
    ) -> None:
        """Take the parts; one for each configuration, which may have changed a policy."""
        self._book, self._store, self._hands, self._turn = book, book.store, hands, turn
        self._policies, self._placing, self._performer = policies, placing, performer
        self._uploaded = Uploaded(book, turn)
        self._begun, self._asked = False, 0.0
        self._stuck: set[str] = set()

    def retry(self, now: float) -> None:
        """Do what is due, at most BATCH places of it.  Raises StateError."""
        self._recover()
        if not self._begun:
            self._begin(now)
        if now - self._asked >= UPLOADED:
            self._asked = now
            self._uploaded.settle_all()
        for each in self._store.places.due(now, BATCH):
            with self._turn.taken():
                place = self._store.places.get(each.id)
                if place is not None and place.due is not None and place.due <= now:
                    self._again(place)

    def settle_upload(self, key: str) -> None:
        """Do at once for one content what ``retry`` does for all.  Raises StateError."""
        self._uploaded.settle(key)

    def _recover(self) -> None:
        """Settle what was interrupted; of what cannot be settled people are told once."""
        stuck = self._hands.recover()
        if news := stuck.keys() - self._stuck:
            with self._book.page() as page:
                for entry in sorted(news):
                    page.tell(NoticeKind.TROUBLE, wording.stuck(entry, stuck[entry]), None)
            self._stuck |= news

    def _begin(self, now: float) -> None:
        """Make due what the policy of before held because nobody could answer."""
        with self._turn.taken():
            self._store.places.free_undetermined(self._policies.holding_undetermined(), now)
        self._begun = True

    def _again(self, place: Place) -> None:
        """Try one place; the turn is ours."""
        if place.state in UNCLEAR:
            place = self._performer.clear_up(place)
        if place.due is None:
            return
        decision = self._decided(place)
        if place.held and Action.ALLOW in (place.action, decision.action):
            self._performer.release(place, decision.rule)
            return
        with self._book.page() as page:
            place = self._placing.again(page, place, decision)
        if place.state is PlaceState.PENDING:
            self._performer.act(place, None)

    def _decided(self, place: Place) -> Decision:
        """Decide by what is known now: lists, people and the policy may have changed their mind."""
        policy, case = self._policies.of(place.root), self._store.cases.find(place.key)
        if place.rule == UNDETERMINED:
            return decide(Verdict(Outcome.UNDETERMINED, reason=Reason.UNANSWERED), policy)
        if case is None:
            return decide(Verdict(Outcome.NO_MATCH), policy)
        verdict = Verdict(case.evidence.outcome, case.evidence.matches)
        return decide(verdict, policy, released=case.state is CaseState.RELEASED)
