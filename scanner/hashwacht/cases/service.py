"""What follows from a verdict: a case, an action, audit entries and notices.

Read ``CaseProcessor.apply_verdict`` first.  Its order survives ``kill -9`` at any instant:

1. The case and the intended action are recorded durably (the location is *pending*).
2. The action is carried out.
3. Its result is recorded durably.

A location that is still pending under the case lock was interrupted; the file actions then find
out how far it came.  So applying the same verdict again changes nothing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from hashwacht.cases.action_limit import ActionLimiter, LimitApprovals
from hashwacht.cases.actions import INTERRUPTED_STATES, ActionRetrier, ActionRunner
from hashwacht.cases.case_locations import UNDETERMINED, LocationRecorder, effective_decision
from hashwacht.cases.case_opening import JudgedFile, UploadCases, open_case, reopen
from hashwacht.cases.decisions import CaseDecisions
from hashwacht.cases.file_actions import FileActions
from hashwacht.cases.ledger import CaseLock, Ledger
from hashwacht.cases.linked_names import LinkedNames
from hashwacht.cases.policy import RootPolicies, decide
from hashwacht.core.types import Action, FileId, Outcome
from hashwacht.panels.sites import SiteMap
from hashwacht.platform.accounts import Accounts
from hashwacht.quarantine.failures import ActionFailure
from hashwacht.settings import ActionLimitSettings, RootSettings
from hashwacht.storage.cases import CaseState
from hashwacht.storage.locations import FileLocation, LocationState

UPLOAD_CHECK_INTERVAL = 60.0
"""Seconds between two checks of the uploads that web applications reported."""

_IN_FORCE = {
    LocationState.OBSERVED: Action.OBSERVE,
    LocationState.WAITING: Action.OBSERVE,
    LocationState.FAILED: Action.OBSERVE,
    LocationState.HELD: Action.HOLD,
    LocationState.QUARANTINED: Action.QUARANTINE,
}


@dataclass(frozen=True)
class CaseServices:
    """Everything that acts on cases, built once per process; *roots* are given by name."""

    ledger: Ledger
    file_actions: FileActions
    lock: CaseLock
    roots: Mapping[str, RootSettings]
    limits: ActionLimitSettings
    accounts: Accounts = field(default_factory=Accounts)
    sites: SiteMap = field(default_factory=SiteMap)
    lists_imported_at: Callable[[], Mapping[str, float]] = dict

    def processor(self) -> CaseProcessor:
        """Build what applies verdicts."""
        return CaseProcessor(self)

    def decisions(self) -> CaseDecisions:
        """Build what carries out decisions about cases."""
        return CaseDecisions(self.ledger, self.file_actions, self.lock)

    def upload_cases(self) -> UploadCases:
        """Build what opens the cases of uploads that web applications reported."""
        return UploadCases(self.ledger, self.lock)

    def approvals(self) -> LimitApprovals:
        """Build what carries out decisions about action limits."""
        return LimitApprovals(self.ledger, self.lock)


class CaseProcessor:
    """Applies verdicts: decides, acts on files and keeps cases.

    Thread-safe; commands may act at the same time, see :class:`~hashwacht.cases.ledger.CaseLock`.
    """

    def __init__(self, services: CaseServices) -> None:
        ledger, lock, file_actions = services.ledger, services.lock, services.file_actions
        self._ledger, self._store, self._lock = ledger, ledger.store, lock
        self._file_actions = file_actions
        self._policies = RootPolicies(services.roots)
        limiter = ActionLimiter(
            ledger.store.locations,
            ledger.store.action_limits,
            services.limits,
            services.lists_imported_at,
        )
        self._recorder = LocationRecorder(limiter, services.accounts, services.sites)
        links = LinkedNames(ledger, services.roots)
        self._runner = ActionRunner(ledger, file_actions, links)
        self._retrier = ActionRetrier(lock, self._policies, self._recorder, self._runner)
        self._upload_cases, self._uploads_checked_at = UploadCases(ledger, lock), 0.0

    def apply_verdict(self, judged: JudgedFile) -> Action:
        """Carry out what a verdict demands, and return the action in force now.

        May be repeated for the same file.  An action that fails is recorded, reported and retried
        by ``retry_due``.  Raises StorageError if nothing can be recorded; then call it again.
        """
        if self._is_irrelevant(judged):
            return Action.ALLOW
        with self._lock.acquire(), _opened(judged) as (opened, failure):
            if self._file_actions.is_staging_path(judged.path):
                return Action.ALLOW  # it is reported again at its next path
            decided, location = self._apply(opened, failure)
        in_force = Action.ALLOW if location is None else _IN_FORCE.get(location.state, Action.ALLOW)
        observed_only = (decided, in_force) == (Action.ALLOW, Action.OBSERVE)
        return decided if observed_only else in_force

    def retry_due(self, now: float) -> None:
        """Carry out what is due; call it every few seconds.  Raises StorageError."""
        if now - self._uploads_checked_at >= UPLOAD_CHECK_INTERVAL:
            self._uploads_checked_at = now
            self._upload_cases.open_all()
        self._retrier.retry_due(now)

    def open_upload_case(self, key: str) -> None:
        """Open the case of a reported upload if it matches, else remove the report if unknown.

        ``retry_due`` does so too, once a minute for all uploads.  Raises StorageError.
        """
        self._upload_cases.open_one(key)

    def _apply(
        self, judged: JudgedFile, failure: ActionFailure | None
    ) -> tuple[Action, FileLocation | None]:
        """Record, act, record, under the lock.  *failure*: why the file could not be opened."""
        known = self._find_location(judged)
        with self._ledger.transaction() as transaction:
            case = open_case(transaction, judged)
            released = case is not None and case.state is CaseState.RELEASED
            policy = self._policies.for_root(judged.root)
            decision = decide(judged.verdict, policy, released=released)
            decision = effective_decision(known, judged, decision)
            restored = known is not None and known.state is LocationState.RESTORED
            if decision.action is Action.ALLOW or restored:
                location = self._recorder.record_allowed(transaction, known, judged)
            elif failure is not None and failure.lost:
                detail = str(failure)
                location = self._recorder.record_lost(transaction, known, judged, decision, detail)
            else:
                undone = known is not None and self._is_undone(known, judged)
                location = self._recorder.record(
                    transaction, case, known, judged, decision, undone=undone
                )
        if location is not None and location.state is LocationState.PENDING:
            location = self._runner.run(location, judged.fd)
        is_allowed = decision.action is Action.ALLOW
        if location is not None and is_allowed and _ends_hold(judged, location):
            location = self._runner.release(location, decision.rule)
        return decision.action, location

    def _find_location(self, judged: JudgedFile) -> FileLocation | None:
        """Return the known location of this content at this path, interrupted actions resolved.

        Other contents known at this path have been replaced, which is recorded.
        """
        known = None
        for location in self._store.locations.load_live(judged.path):
            if location.state in INTERRUPTED_STATES:
                location = self._runner.resolve_interrupted(location)  # noqa: PLW2901
            if location.key == judged.key and location.state.live:
                known = location
            elif location.state.live:
                file = location.file
                same_file = (file.dev, file.ino) == (judged.id.dev, judged.id.ino)
                detail = "it has another content now"
                self._runner.record_gone(location, detail, rewritten=same_file)
        return self._detect_hold(known, judged)

    def _detect_hold(self, known: FileLocation | None, judged: JudgedFile) -> FileLocation | None:
        """Record that the file is held, whatever is known: it may have been moved here."""
        if judged.fd is None or not _has_no_mode(judged.fd):
            return known
        held = self._file_actions.find_hold(judged.fd)
        if held is None or (known is not None and known.held and known.file == judged.id):
            return known
        with self._ledger.transaction() as transaction:
            case = self._store.cases.load_by_key(judged.key)
            return self._recorder.record_held(transaction, case, known, judged, held)

    def _is_undone(self, location: FileLocation, judged: JudgedFile) -> bool:
        """Return whether a file that should be held is not, although its times may be known.

        A change between the hold and its record has the times that are recorded.
        """
        if location.state is not LocationState.HELD or judged.fd is None:
            return False
        return self._file_actions.find_hold(judged.fd) is None

    def _is_irrelevant(self, judged: JudgedFile) -> bool:
        """Return True, after two cheap look-ups, for a file like almost all others."""
        verdict = judged.verdict
        if verdict.outcome is Outcome.MATCH or verdict.suppressed:
            return False
        is_undetermined = verdict.outcome is Outcome.UNDETERMINED
        if is_undetermined and self._policies.holds_undetermined(judged.root):
            return False
        if judged.fd is not None and _has_no_mode(judged.fd):  # it may be held, and moved here
            return False
        if self._store.locations.load_live(judged.path):
            return False
        return self._store.cases.load_by_key(judged.key) is None


def _ends_hold(judged: JudgedFile, location: FileLocation) -> bool:
    """Return True if a verdict ends a hold; an undetermined one only ends its own."""
    is_undetermined = judged.verdict.outcome is Outcome.UNDETERMINED
    return bool(location.held) and (not is_undetermined or location.rule == UNDETERMINED)


def _has_no_mode(fd: int) -> bool:
    """Return True if a file has no permissions, as if it were held.  Costs one fstat(2)."""
    return stat.S_IMODE(os.fstat(fd).st_mode) == 0


@contextmanager
def _opened(judged: JudgedFile) -> Iterator[tuple[JudgedFile, ActionFailure | None]]:
    """Yield the file with an open descriptor, or why it cannot be opened."""
    if judged.fd is not None:
        yield judged, None
        return
    fd = reopen(judged.path, judged.key, judged.id)
    if isinstance(fd, ActionFailure):
        yield judged, fd
        return
    try:
        yield replace(judged, fd=fd, id=FileId.from_stat(os.fstat(fd))), None
    finally:
        os.close(fd)
