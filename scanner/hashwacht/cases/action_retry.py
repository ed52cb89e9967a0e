"""What is done later: what failed, what somebody has let go, and what a crash interrupted."""

from __future__ import annotations

from hashwacht.cases import wording
from hashwacht.cases.actions import INTERRUPTED_STATES, ActionRunner
from hashwacht.cases.case_locations import UNDETERMINED, LocationRecorder
from hashwacht.cases.case_lock import CaseLock
from hashwacht.cases.file_actions import FileActions
from hashwacht.cases.late_uploads import UploadCases
from hashwacht.cases.ledger import Ledger
from hashwacht.cases.policy import PolicyDecision, RootPolicies, decide
from hashwacht.core.notice import NoticeKind
from hashwacht.core.types import Action, Outcome, Reason, Verdict
from hashwacht.storage.cases import CaseState
from hashwacht.storage.locations import FileLocation, LocationState

RETRY_BATCH = 100
"""Places that one call of ``retry`` tries at the most."""

UPLOAD_CHECK_INTERVAL = 60.0
"""Seconds between two looks at what web applications have told."""


class ActionRetrier:
    """Comes back to places that are due, and decides anew about each."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        file_actions: FileActions,
        lock: CaseLock,
        policies: RootPolicies,
        location_recorder: LocationRecorder,
        action_runner: ActionRunner,
    ) -> None:
        """Take the parts; one for each configuration, which may have changed a policy."""
        self._ledger, self._store, self._file_actions, self._lock = (
            ledger,
            ledger.store,
            file_actions,
            lock,
        )
        self._policies, self._location_recorder, self._action_runner = (
            policies,
            location_recorder,
            action_runner,
        )
        self._upload_cases = UploadCases(ledger, lock)
        self._begun, self._asked = False, 0.0
        self._stuck: set[str] = set()

    def retry(self, now: float) -> None:
        """Do what is due, at most BATCH places of it.  Raises StorageError."""
        self._recover()
        if not self._begun:
            self._begin(now)
        if now - self._asked >= UPLOAD_CHECK_INTERVAL:
            self._asked = now
            self._upload_cases.open_all()
        for each in self._store.locations.load_due(now, RETRY_BATCH):
            with self._lock.acquire():
                place = self._store.locations.load(each.id)
                if place is not None and place.due is not None and place.due <= now:
                    self._again(place)

    def settle_upload(self, key: str) -> None:
        """Do at once for one content what ``retry`` does for all.  Raises StorageError."""
        self._upload_cases.open_one(key)

    def _recover(self) -> None:
        """Settle what was interrupted; of what cannot be settled people are told once."""
        stuck = self._file_actions.recover()
        if news := stuck.keys() - self._stuck:
            with self._ledger.transaction() as transaction:
                for entry in sorted(news):
                    transaction.notify(NoticeKind.TROUBLE, wording.stuck(entry, stuck[entry]), None)
            self._stuck |= news

    def _begin(self, now: float) -> None:
        """Make due what the policy of before held because nobody could answer."""
        with self._lock.acquire():
            self._store.locations.release_undetermined(
                self._policies.roots_holding_undetermined(), now
            )
        self._begun = True

    def _again(self, place: FileLocation) -> None:
        """Try one place; the turn is ours."""
        if place.state in INTERRUPTED_STATES:
            place = self._action_runner.resolve_interrupted(place)
        if place.due is None:
            return
        decision = self._decided(place)
        if place.held and Action.ALLOW in (place.action, decision.action):
            self._action_runner.release(place, decision.rule)
            return
        with self._ledger.transaction() as transaction:
            place = self._location_recorder.record_due(transaction, place, decision)
        if place.state is LocationState.PENDING:
            self._action_runner.run(place, None)

    def _decided(self, place: FileLocation) -> PolicyDecision:
        """Decide by what is known now: lists, people and the policy may have changed their mind."""
        policy, case = self._policies.for_root(place.root), self._store.cases.load_by_key(place.key)
        if place.rule == UNDETERMINED:
            return decide(Verdict(Outcome.UNDETERMINED, reason=Reason.UNANSWERED), policy)
        if case is None:
            return decide(Verdict(Outcome.NO_MATCH), policy)
        verdict = Verdict(case.evidence.outcome, case.evidence.matches)
        return decide(verdict, policy, released=case.state is CaseState.RELEASED)
