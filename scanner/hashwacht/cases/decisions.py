"""Decisions about cases: restore, release, destroy, close, note.

Every decision takes the case lock for one file at a time, so it works with or without a running
daemon, and neither ever sees the other's unfinished work.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

from hashwacht.audit.chain import JSON
from hashwacht.audit.log import AuditEvent
from hashwacht.cases.actions import INTERRUPTED_STATES, ActionRunner
from hashwacht.cases.case_locations import observed
from hashwacht.cases.file_actions import FileActions
from hashwacht.cases.ledger import CaseLock, Ledger
from hashwacht.core.paths import escape_path
from hashwacht.quarantine.failures import ActionFailure, FailureReason
from hashwacht.quarantine.restore import RestoreRequest
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
"""States of locations that still allow a decision."""

_NOT_HELD = ActionFailure(FailureReason.NOT_SEALED, "it is neither held nor sealed")
_NOT_SEALED = ActionFailure(FailureReason.NOT_SEALED, "only sealed files can be destroyed")


@dataclass(frozen=True, slots=True)
class DecisionResult:
    """The result of a decision about one location."""

    location: FileLocation
    failure: ActionFailure | None = None
    receipt: JSON = None
    """That of a destroyed file."""


class CaseDecisions:
    """Carries out decisions, each with a reason."""

    def __init__(self, ledger: Ledger, file_actions: FileActions, lock: CaseLock) -> None:
        self._ledger, self._file_actions, self._lock = ledger, file_actions, lock
        self._store = ledger.store
        self._runner = ActionRunner(ledger, file_actions)

    def restore(self, location: FileLocation, request: RestoreRequest) -> DecisionResult:
        """Restore a sealed file or release a held one; at that path it is left alone from now on.

        Raises StorageError.
        """
        with self._lock.acquire():
            current = self._current(location)
            if current.state is LocationState.HELD:
                return self._release_held(current, request.why)
            if current.state is not LocationState.QUARANTINED:
                return DecisionResult(current, _NOT_HELD)
            return self._restore(current, request)

    def release(
        self, case: Case, request: RestoreRequest, *, sealed_too: bool = True
    ) -> Iterator[DecisionResult]:
        """Leave a content alone everywhere from now on, and restore all its files.

        *sealed_too*: also those in the vault.  Raises StorageError.
        """
        with self._lock.acquire():
            self._record_state(case, CaseState.RELEASED, AuditEvent.RELEASED, request.why)
        for location in self._store.locations.load_by_content(case.key, -1, *UNFINISHED_STATES):
            with self._lock.acquire():
                current = self._current(location)
                if current.held:
                    yield _release_result(self._runner.release(current, request.why))
                elif current.state is LocationState.QUARANTINED:
                    if sealed_too:
                        self._runner.release_names(current)
                        yield self._restore(current, request)
                elif current.state in UNFINISHED_STATES:
                    yield DecisionResult(self._drop_action(current))

    def destroy(self, location: FileLocation, why: str) -> DecisionResult:
        """Destroy a sealed file for good; the receipt is in the vault and in the audit log."""
        with self._lock.acquire():
            current = self._current(location)
            if current.state is not LocationState.QUARANTINED:
                return DecisionResult(current, _NOT_SEALED)
            begun = replace(current, state=LocationState.DESTROYING, due=self._ledger.clock())
            with self._ledger.transaction() as transaction:
                transaction.record_location(begun)
            result = self._file_actions.destroy(current, who=self._ledger.who, why=why)
            if isinstance(result, ActionFailure):
                return self._record_failure(current, result, AuditEvent.DESTROYED)
            with self._ledger.transaction() as transaction:
                ended = replace(begun, state=result.state, due=None, detail=result.detail)
                stored = transaction.record_location(ended, AuditEvent.DESTROYED, **result.facts)
                return DecisionResult(stored, receipt=result.facts.get("receipt"))

    def close(self, case: Case, why: str) -> Case:
        """Close a case; a new match of its content opens it again."""
        with self._lock.acquire():
            return self._record_state(case, CaseState.CLOSED, AuditEvent.CASE_CLOSED, why)

    def close_if_done(self, case: Case, why: str) -> None:
        """Close an open case if none of its files needs a decision any more."""
        with self._lock.acquire():
            current = self._store.cases.load(case.id)
            states = self._store.locations.count_by_state(case.key).keys()
            done = states.isdisjoint(UNFINISHED_STATES)
            if current is not None and current.state is CaseState.OPEN and done:
                self._record_state(current, CaseState.CLOSED, AuditEvent.CASE_CLOSED, why)

    def note(self, case: Case, text: str) -> None:
        """Add a note to a case."""
        with self._ledger.transaction() as transaction:
            self._store.cases.record_note(case.id, transaction.now, self._ledger.who, text)
            transaction.audit(AuditEvent.NOTED, case=case.id, sha256=case.key, text=text)

    def _record_state(self, case: Case, state: CaseState, event: AuditEvent, why: str) -> Case:
        with self._ledger.transaction() as transaction:
            current = self._store.cases.load(case.id) or case
            who, now = self._ledger.who, transaction.now
            self._store.cases.record_note(case.id, now, who, f"{event}: {why}")
            changed = replace(current, state=state, updated=now)
            return transaction.record_case(changed, event, reason=why)

    def _current(self, location: FileLocation) -> FileLocation:
        """Return a location as it is now, an interrupted action resolved."""
        current = self._store.locations.load(location.id) or location
        if current.state in INTERRUPTED_STATES:
            return self._runner.resolve_interrupted(current)
        return current

    def _release_held(self, location: FileLocation, why: str) -> DecisionResult:
        """Release a held file under all its names, which are one file (hard links)."""
        result = _release_result(self._runner.release(location, why))
        if result.failure is not None:
            return result
        held = self._store.locations.load_by_content(location.key, -1, LocationState.HELD)
        others = [other for other in held if other.is_same_file(location)]
        with self._ledger.transaction() as transaction:
            for released in (*others, result.location):
                restored = replace(
                    released, state=LocationState.RESTORED, held="", due=None, limit_id=None
                )
                stored = transaction.record_location(restored, AuditEvent.RESTORED, reason=why)
        return DecisionResult(stored)

    def _restore(self, location: FileLocation, request: RestoreRequest) -> DecisionResult:
        path = request.to or location.path
        if os.path.lexists(path):
            failure = ActionFailure(FailureReason.TAKEN, escape_path(path))
            return self._record_failure(location, failure, AuditEvent.RESTORED)
        for other in map(self._current, self._store.locations.load_live(path)):
            if other.state.live:
                detail = "another file was restored to its path"
                self._runner.record_gone(other, detail, rewritten=False)
        now = self._ledger.clock()
        begun = replace(location, state=LocationState.RESTORING, path=path, due=now)
        with self._ledger.transaction() as transaction:
            transaction.record_location(begun)
        result = self._file_actions.restore(location, request, self._ledger.who)
        if isinstance(result, ActionFailure):
            return self._record_failure(location, result, AuditEvent.RESTORED)
        restored = replace(begun, state=result.state, due=None, detail=result.detail)
        with self._ledger.transaction() as transaction:
            facts = {"detail": result.detail, **result.facts}
            stored = transaction.record_location(restored, AuditEvent.RESTORED, **facts)
        return DecisionResult(stored)

    def _record_failure(
        self, location: FileLocation, failure: ActionFailure, tried: AuditEvent
    ) -> DecisionResult:
        """Record that a sealed file stays sealed."""
        with self._ledger.transaction() as transaction:
            stored = transaction.record_location(
                location, AuditEvent.FAILED, tried=str(tried), detail=str(failure)
            )
        return DecisionResult(stored, failure)

    def _drop_action(self, location: FileLocation) -> FileLocation:
        with self._ledger.transaction() as transaction:
            return transaction.record_location(observed(location), AuditEvent.LEFT_ALONE)


def _release_result(location: FileLocation) -> DecisionResult:
    """Return the result of a release: a failure if the file is still held, or gone."""
    if location.state is LocationState.RELEASED:
        return DecisionResult(location)
    held = location.state is LocationState.HELD
    reason = FailureReason.HELD if held else FailureReason.GONE
    return DecisionResult(location, ActionFailure(reason, location.detail))
