"""What people decide about cases: restore, release, destroy, close, note.

Every decision takes the turn for one file at a time, so it works beside a running daemon and
without one, and neither ever sees the other's half-done work.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

from hashwacht.audit.chain import JSON
from hashwacht.audit.log import AuditEvent
from hashwacht.cases.actions import INTERRUPTED_STATES, ActionRunner
from hashwacht.cases.case_lock import CaseLock
from hashwacht.cases.file_actions import ActionFailure, FileActions, RestoreRequest
from hashwacht.cases.ledger import Ledger
from hashwacht.core.paths import escape_path
from hashwacht.storage.cases import Case, CaseState
from hashwacht.storage.locations import FileLocation, LocationState

UNFINISHED_STATES = (
    LocationState.PENDING,
    LocationState.WAITING,
    LocationState.FAILED,
    LocationState.HELD,
    LocationState.QUARANTINED,
    LocationState.RESTORING,
    LocationState.DESTROYING,
)
"""States of places about which something can still be decided."""

_SEE = "`hashwacht cases show` says what became of it, `hashwacht audit show` who decided that."
_NOT_HELD = ActionFailure("not-sealed", "it is neither held nor sealed", _SEE)
_NOT_SEALED = ActionFailure("not-sealed", "only what is sealed can be destroyed", _SEE)
_TAKEN = "Name another path with --to, or move away what lies there."
_RESTORED_HERE = "another file was restored to its path"


@dataclass(frozen=True, slots=True)
class DecisionResult:
    """What came of a decision about one place."""

    place: FileLocation
    problem: ActionFailure | None = None
    receipt: JSON = None
    """Of a file that was destroyed."""


class CaseDecisions:
    """Carries decisions out, with a reason for each."""

    def __init__(self, ledger: Ledger, file_actions: FileActions, lock: CaseLock) -> None:
        """Write who decides into *book*."""
        self._ledger, self._file_actions, self._lock = ledger, file_actions, lock
        self._store = ledger.store
        self._action_runner = ActionRunner(ledger, file_actions)

    def restore(self, place: FileLocation, wish: RestoreRequest) -> DecisionResult:
        """Put a sealed file back, or let a held one be served; it is left alone there from now on.

        Raises StorageError.
        """
        with self._lock.acquire():
            fresh = self._fresh(place)
            if fresh.state is LocationState.HELD:
                return self._unhold(fresh, wish.why)
            if fresh.state is not LocationState.QUARANTINED:
                return DecisionResult(fresh, _NOT_HELD)
            return self._restore(fresh, wish)

    def release(
        self, case: Case, wish: RestoreRequest, *, sealed_too: bool = True
    ) -> Iterator[DecisionResult]:
        """Leave a content alone from now on, wherever it is, and give back all files of it.

        *sealed_too*: those in the vault as well.  Raises StorageError.
        """
        with self._lock.acquire():
            self._ruled(case, CaseState.RELEASED, AuditEvent.RELEASED, wish.why)
        for place in self._store.locations.load_by_content(case.key, -1, *UNFINISHED_STATES):
            with self._lock.acquire():
                fresh = self._fresh(place)
                if fresh.held:
                    yield _shown(self._action_runner.release(fresh, wish.why))
                elif fresh.state is LocationState.QUARANTINED:
                    if sealed_too:
                        yield self._restore(fresh, wish)
                elif fresh.state in UNFINISHED_STATES:
                    yield DecisionResult(self._dropped(fresh))

    def destroy(self, place: FileLocation, why: str) -> DecisionResult:
        """Destroy a sealed file for good; the receipt is in the vault and in the audit log."""
        with self._lock.acquire():
            fresh = self._fresh(place)
            if fresh.state is not LocationState.QUARANTINED:
                return DecisionResult(fresh, _NOT_SEALED)
            begun = replace(fresh, state=LocationState.DESTROYING, due=self._ledger.clock())
            with self._ledger.transaction() as transaction:
                transaction.record_location(begun)
            done = self._file_actions.destroy(fresh, who=self._ledger.who, why=why)
            if isinstance(done, ActionFailure):
                return self._back(fresh, done, AuditEvent.DESTROYED)
            with self._ledger.transaction() as transaction:
                ended = replace(begun, state=LocationState.DESTROYED, due=None, detail=done.detail)
                kept = transaction.record_location(ended, AuditEvent.DESTROYED, **done.facts)
                return DecisionResult(kept, receipt=done.facts.get("receipt"))

    def close(self, case: Case, why: str) -> Case:
        """Say that a case is dealt with; found again, it is open again."""
        with self._lock.acquire():
            return self._ruled(case, CaseState.CLOSED, AuditEvent.CASE_CLOSED, why)

    def close_if_done(self, case: Case, why: str) -> None:
        """Close a case that is open if there is nothing left to be decided about its files."""
        with self._lock.acquire():
            fresh = self._store.cases.load(case.id)
            left = self._store.locations.count_by_state(case.key).keys() & set(UNFINISHED_STATES)
            if fresh is not None and fresh.state is CaseState.OPEN and not left:
                self._ruled(fresh, CaseState.CLOSED, AuditEvent.CASE_CLOSED, why)

    def note(self, case: Case, text: str) -> None:
        """Write something about a case."""
        with self._ledger.transaction() as transaction:
            self._store.cases.record_note(case.id, transaction.now, self._ledger.who, text)
            transaction.audit(AuditEvent.NOTED, case=case.id, sha256=case.key, text=text)

    def _ruled(self, case: Case, state: CaseState, act: AuditEvent, why: str) -> Case:
        with self._ledger.transaction() as transaction:
            fresh = self._store.cases.load(case.id) or case
            self._store.cases.record_note(
                case.id, transaction.now, self._ledger.who, f"{act}: {why}"
            )
            return transaction.record_case(
                replace(fresh, state=state, updated=transaction.now), act, reason=why
            )

    def _fresh(self, place: FileLocation) -> FileLocation:
        """Give a place as it is now, an interrupted act cleared up."""
        fresh = self._store.locations.load(place.id) or place
        return (
            self._action_runner.resolve_interrupted(fresh)
            if fresh.state in INTERRUPTED_STATES
            else fresh
        )

    def _unhold(self, place: FileLocation, why: str) -> DecisionResult:
        """Let a held file be served, under all its names: they are one file (hard links)."""
        outcome = _shown(self._action_runner.release(place, why))
        if outcome.problem is not None:
            return outcome
        with self._ledger.transaction() as transaction:
            for other in self._store.locations.load_by_content(place.key, -1, LocationState.HELD):
                if other.is_same_file(place):
                    transaction.record_location(_left_alone(other), AuditEvent.RESTORED, reason=why)
            return DecisionResult(
                transaction.record_location(
                    _left_alone(outcome.place), AuditEvent.RESTORED, reason=why
                )
            )

    def _restore(self, place: FileLocation, wish: RestoreRequest) -> DecisionResult:
        target = wish.to or place.path
        if os.path.lexists(target):
            return self._back(
                place, ActionFailure("taken", escape_path(target), _TAKEN), AuditEvent.RESTORED
            )
        for other in map(self._fresh, self._store.locations.load_live(target)):
            if other.state.live:
                self._action_runner.record_gone(other, _RESTORED_HERE, rewritten=False)
        begun = replace(place, state=LocationState.RESTORING, path=target, due=self._ledger.clock())
        with self._ledger.transaction() as transaction:
            transaction.record_location(begun)
        done = self._file_actions.restore(place, wish, self._ledger.who)
        if isinstance(done, ActionFailure):
            return self._back(place, done, AuditEvent.RESTORED)
        with self._ledger.transaction() as transaction:
            restored = replace(begun, state=LocationState.RESTORED, due=None, detail=done.detail)
            return DecisionResult(
                transaction.record_location(
                    restored, AuditEvent.RESTORED, detail=done.detail, **done.facts
                )
            )

    def _back(
        self, place: FileLocation, problem: ActionFailure, tried: AuditEvent
    ) -> DecisionResult:
        """Record that a sealed file stays sealed."""
        with self._ledger.transaction() as transaction:
            kept = transaction.record_location(
                place, AuditEvent.FAILED, tried=str(tried), detail=str(problem)
            )
        return DecisionResult(kept, problem)

    def _dropped(self, place: FileLocation) -> FileLocation:
        with self._ledger.transaction() as transaction:
            observed = replace(
                place, state=LocationState.OBSERVED, due=None, counted_at=None, limit_id=None
            )
            return transaction.record_location(observed, AuditEvent.LEFT_ALONE)


def _shown(place: FileLocation) -> DecisionResult:
    """Say whether a holding has ended."""
    ended = place.state is LocationState.RELEASED
    return DecisionResult(
        place, None if ended else ActionFailure(str(place.state), place.detail, _SEE)
    )


def _left_alone(place: FileLocation) -> FileLocation:
    return replace(place, state=LocationState.RESTORED, held="", due=None, limit_id=None)
