"""Carrying out actions that are recorded as pending, and retrying those that failed.

``ActionRunner`` acts on one location at a time and records the result; ``ActionRetrier`` returns
to locations that are due: the action failed, it was approved, or a crash interrupted it.  The
caller of the runner holds the case lock.
"""

from __future__ import annotations

import os
from dataclasses import replace

from hashwacht.audit.chain import JSON
from hashwacht.audit.log import AuditEvent
from hashwacht.cases.case_locations import (
    MAX_CASE_NOTICES,
    UNDETERMINED,
    LocationRecorder,
    notify_location,
)
from hashwacht.cases.case_opening import reopen
from hashwacht.cases.case_rendering import failure_summary, stuck_summary
from hashwacht.cases.file_actions import ActionResult, FileActions
from hashwacht.cases.ledger import CaseLock, Ledger, LedgerTransaction
from hashwacht.cases.linked_names import LinkedNames
from hashwacht.cases.policy import PolicyDecision, RootPolicies, decide
from hashwacht.core.notice import NoticeKind
from hashwacht.core.types import Action, FileId, Outcome, Reason, Verdict
from hashwacht.platform.backoff import Backoff
from hashwacht.platform.filesystems.responsiveness import HANGING_RETRY, RESPONSE_PROBE
from hashwacht.platform.filesystems.volumes import VOLUMES
from hashwacht.quarantine.failures import ActionFailure, FailureReason
from hashwacht.storage.cases import CaseState
from hashwacht.storage.locations import FileLocation, LocationState

INTERRUPTED_STATES = frozenset(
    {LocationState.PENDING, LocationState.RESTORING, LocationState.DESTROYING}
)
"""States in which only a crash can leave a location."""

RETRY = Backoff(60.0, 6 * 3600.0)
"""Between two attempts of an action."""

RETRY_BATCH = 100
"""Locations that one call of ``retry_due`` tries at most."""

_QUIET_RETRIES = 2
"""Retries of a transient failure before a notice is sent."""

_EVENTS = {
    LocationState.HELD: AuditEvent.HELD,
    LocationState.QUARANTINED: AuditEvent.QUARANTINED,
    LocationState.RELEASED: AuditEvent.RELEASED,
    LocationState.RESTORED: AuditEvent.RESTORED,
    LocationState.DESTROYED: AuditEvent.DESTROYED,
    LocationState.GONE: AuditEvent.GONE,
}


class ActionRunner:
    """Acts on one location at a time and records the result."""

    def __init__(
        self, ledger: Ledger, file_actions: FileActions, links: LinkedNames | None = None
    ) -> None:
        self.ledger, self.file_actions, self._store = ledger, file_actions, ledger.store
        self._links = links

    def run(self, location: FileLocation, fd: int | None) -> FileLocation:
        """Hold or seal the file of a pending location; *fd* is that file if it is open."""
        if fd is not None:
            return self._act(location, fd)
        opened = reopen(location.path, location.key, location.file)
        if isinstance(opened, ActionFailure):
            return self._record(location, opened)
        try:
            return self._act(location, opened)
        finally:
            os.close(opened)

    def _act(self, location: FileLocation, fd: int) -> FileLocation:
        VOLUMES.examine(fd)  # the other names of the file are looked up in the storage
        case = self._case_json(location)
        if location.action is not Action.QUARANTINE:
            result = self.file_actions.hold(fd, location, case)
            failed = isinstance(result, ActionFailure)
            return self._record(location if failed else _with_times(location, fd), result)
        result = self.file_actions.quarantine(fd, location, case)
        if isinstance(result, ActionFailure) and result.holdable:
            held = self.file_actions.hold(fd, location, case)
            if not isinstance(held, ActionFailure):  # held until it can be sealed
                location = replace(_with_times(location, fd), held=held.held)
        return self._record(location, result)

    def release(self, location: FileLocation, why: str) -> FileLocation:
        """Release a held file; *why* appears in the audit log.

        If that fails, the file stays held with the action *allow*, and the release is retried.
        """
        result = self.file_actions.release(location, self._case_json(location))
        with self.ledger.transaction() as transaction:
            if isinstance(result, ActionResult):
                detail = f"{why}; {result.detail}" if result.detail else why
                return self._end(transaction, location, LocationState.RELEASED, detail)
            if result.lost:
                return self._end(transaction, location, LocationState.GONE, str(result))
            return self._record_failure(transaction, replace(location, action=Action.ALLOW), result)

    def release_names(self, location: FileLocation) -> None:
        """Release the other names of a sealed file, which are held where they are."""
        self.file_actions.release_names(location, self._case_json(location))

    def record_gone(self, location: FileLocation, detail: str, *, rewritten: bool) -> FileLocation:
        """Record that a content is no longer at its path.

        *rewritten*: the same file has another content now, which must not stay held.  A held file
        that was moved stays held: its new path is found later.
        """
        if location.held and rewritten:
            location = self.release(location, detail)
            if location.held or not location.state.live:
                return location
        with self.ledger.transaction() as transaction:
            return self._end(transaction, location, LocationState.GONE, detail)

    def resolve_interrupted(self, location: FileLocation) -> FileLocation:
        """Record how far an interrupted action came; a pending location may stay pending."""
        result = self.file_actions.inspect_interrupted(location)
        if location.state is LocationState.PENDING:
            if result is not None and result.state is LocationState.QUARANTINED:
                return self._record(replace(location, action=Action.QUARANTINE), result)
            if result is not None and result.state is LocationState.HELD:
                return self._record_held(location, result)
            return location
        result = result or ActionResult(LocationState.QUARANTINED)
        undone = result.state is LocationState.QUARANTINED
        event = AuditEvent.FAILED if undone else _EVENTS[result.state]
        path, detail = result.path or location.path, result.detail
        resolved = replace(location, state=result.state, due=None, path=path, detail=detail)
        with self.ledger.transaction() as transaction:
            return transaction.record_location(resolved, event, detail=detail, **result.facts)

    def _record_held(self, location: FileLocation, result: ActionResult) -> FileLocation:
        """Record a hold; if the file is to be sealed, that is only the beginning."""
        if location.action is Action.HOLD:
            return self._record(replace(location, file=_current_id(location)), result)
        with self.ledger.transaction() as transaction:
            return transaction.record_location(replace(location, held=result.held))

    def _record(self, location: FileLocation, result: ActionResult | ActionFailure) -> FileLocation:
        if isinstance(result, ActionFailure) and result.lost:
            rewritten = result.reason is FailureReason.REWRITTEN
            return self.record_gone(location, str(result), rewritten=rewritten)
        with self.ledger.transaction() as transaction:
            if isinstance(result, ActionFailure):
                return self._record_failure(transaction, location, result)
            stored = self._record_success(transaction, location, result)
        if result.links and self._links is not None:
            self._links.announce(stored, result.links)
        return stored

    def _record_success(
        self, transaction: LedgerTransaction, location: FileLocation, result: ActionResult
    ) -> FileLocation:
        changed = replace(
            location,
            state=result.state,
            acted_at=transaction.now,
            due=None,
            vault=result.vault,
            held=result.held,
            detail=result.detail,
        )
        facts = {"vault": result.vault} if result.vault else {}
        stored = transaction.record_location(
            changed, _EVENTS[result.state], detail=result.detail, **facts, **result.facts
        )
        notify_location(transaction, stored)
        return stored

    def _record_failure(
        self, transaction: LedgerTransaction, location: FileLocation, failure: ActionFailure
    ) -> FileLocation:
        """Schedule a retry; a held file stays held."""
        attempts, held = location.attempts + 1, bool(location.held)
        changed = replace(
            location,
            state=LocationState.HELD if held else LocationState.FAILED,
            attempts=attempts,
            due=transaction.now + RETRY.delay(attempts),
            counted_at=location.counted_at if held else None,
            detail=str(failure),
        )
        action = "release" if location.action is Action.ALLOW else str(location.action)
        facts = {"action": action, "detail": str(failure)}
        stored = transaction.record_location(changed, AuditEvent.FAILED, **facts)
        if location.attempts == (_QUIET_RETRIES if failure.transient else 0):
            case = self._store.cases.load_by_key(location.key)
            summary = failure_summary(case, stored, action, failure)
            transaction.notify(NoticeKind.TROUBLE, summary, case)
        return stored

    def _end(
        self,
        transaction: LedgerTransaction,
        location: FileLocation,
        state: LocationState,
        detail: str,
    ) -> FileLocation:
        """Record that the file is released or gone; without a case the location is removed."""
        ended = replace(
            location,
            state=state,
            due=None,
            held="",
            counted_at=location.counted_at if location.acted_at else None,
            detail=detail,
            attempts=0,
        )
        stored = transaction.record_location(ended, _EVENTS[state], detail=detail)
        if self._store.cases.load_by_key(location.key) is None:
            self._store.locations.remove(stored)
        return stored

    def _case_json(self, location: FileLocation) -> dict[str, JSON]:
        """Return the case, or what is known without one, with the location added."""
        case = self._store.cases.load_by_key(location.key)
        fields: dict[str, JSON] = {"v": 1, "type": "case"}
        if case is not None:
            fields = self.ledger.case_file(case, MAX_CASE_NOTICES).to_json()
        return {**fields, "sha256": location.key, "file": self.ledger.location_facts(location)}


class ActionRetrier:
    """Retries what is due, after a new decision by the current policy.

    There is one for each configuration, because a reload may change a policy.
    """

    def __init__(
        self,
        lock: CaseLock,
        policies: RootPolicies,
        recorder: LocationRecorder,
        runner: ActionRunner,
    ) -> None:
        self._ledger, self._store = runner.ledger, runner.ledger.store
        self._lock, self._policies = lock, policies
        self._recorder, self._runner = recorder, runner
        self._policy_applied = False
        self._stuck: set[str] = set()

    def retry_due(self, now: float) -> None:
        """Act on at most RETRY_BATCH locations that are due.  Raises StorageError."""
        self._recover()
        if not self._policy_applied:
            self._apply_policy(now)
        for due in self._store.locations.load_due(now, now + RETRY.longest, RETRY_BATCH):
            with self._lock.acquire():
                location = self._store.locations.load(due.id)
                if location is None or location.due != due.due:
                    continue
                if RESPONSE_PROBE.is_hanging(location.path):
                    self._store.locations.record(replace(location, due=now + HANGING_RETRY))
                else:
                    self._retry(location)

    def _recover(self) -> None:
        """Recover interrupted actions; send one notice for each that is stuck."""
        stuck = self._runner.file_actions.recover()
        if new := stuck.keys() - self._stuck:
            with self._ledger.transaction() as transaction:
                for entry in sorted(new):
                    summary = stuck_summary(entry, stuck[entry])
                    transaction.notify(NoticeKind.TROUBLE, summary, None)
            self._stuck |= new

    def _apply_policy(self, now: float) -> None:
        """Make undetermined files due that an earlier policy held and this one does not."""
        roots = self._policies.roots_holding_undetermined()
        with self._lock.acquire():
            self._store.locations.release_undetermined(roots, now)
        self._policy_applied = True

    def _retry(self, location: FileLocation) -> None:
        if location.state in INTERRUPTED_STATES:
            location = self._runner.resolve_interrupted(location)
        if location.due is None:
            return
        decision = self._decide(location)
        if location.held and Action.ALLOW in (location.action, decision.action):
            self._runner.release(location, decision.rule)
            return
        with self._ledger.transaction() as transaction:
            location = self._recorder.record_due(transaction, location, decision)
        if location.state is LocationState.PENDING:
            self._runner.run(location, None)

    def _decide(self, location: FileLocation) -> PolicyDecision:
        """Decide by what is known now: lists, cases and the policy may have changed."""
        policy = self._policies.for_root(location.root)
        if location.rule == UNDETERMINED:
            return decide(Verdict(Outcome.UNDETERMINED, reason=Reason.UNANSWERED), policy)
        case = self._store.cases.load_by_key(location.key)
        if case is None:
            return decide(Verdict(Outcome.NO_MATCH), policy)
        verdict = Verdict(case.evidence.outcome, case.evidence.matches)
        return decide(verdict, policy, released=case.state is CaseState.RELEASED)


def _with_times(location: FileLocation, fd: int) -> FileLocation:
    """Record the times that a hold has changed; otherwise it would count as another file."""
    return replace(location, file=FileId.from_stat(os.fstat(fd)))


def _current_id(location: FileLocation) -> FileId:
    """Return the file with the times that a hold has changed, if it is still at its path."""
    try:
        current = FileId.from_stat(os.lstat(location.path))
    except OSError:
        return location.file
    same = (current.dev, current.ino) == (location.file.dev, location.file.ino)
    return current if same else location.file
