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

from hashwacht.cases.action_limit import ActionLimiter
from hashwacht.cases.action_retry import ActionRetrier
from hashwacht.cases.actions import INTERRUPTED_STATES, ActionRunner
from hashwacht.cases.case_locations import UNDETERMINED, LocationRecorder, effective_decision
from hashwacht.cases.case_lock import CaseLock
from hashwacht.cases.case_opening import JudgedFile, open_case, reopen
from hashwacht.cases.file_actions import ActionFailure, FileActions
from hashwacht.cases.ledger import Ledger
from hashwacht.cases.policy import RootPolicies, decide
from hashwacht.core.types import Action, FileId, Outcome
from hashwacht.settings import ActionLimitSettings, RootSettings
from hashwacht.storage.cases import CaseState
from hashwacht.storage.locations import FileLocation, LocationState

_OTHER = "it holds another content now"
_ONLY_KNOWN = (Action.ALLOW, Action.OBSERVE)
_IN_FORCE = {
    LocationState.OBSERVED: Action.OBSERVE,
    LocationState.WAITING: Action.OBSERVE,
    LocationState.FAILED: Action.OBSERVE,
    LocationState.HELD: Action.HOLD,
    LocationState.QUARANTINED: Action.QUARANTINE,
}


class CaseProcessor:
    """Decides about files, acts upon them and keeps cases.

    Thread-safe; commands may act at the same time, see :mod:`hashwacht.cases.case_lock`.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        file_actions: FileActions,
        lock: CaseLock,
        roots: Mapping[str, RootSettings],
        guard: ActionLimitSettings,
    ) -> None:
        """Take the parts; *roots* by name."""
        self._ledger, self._store, self._file_actions, self._lock = (
            ledger,
            ledger.store,
            file_actions,
            lock,
        )
        self._policies = RootPolicies(roots)
        self._location_recorder = LocationRecorder(
            ActionLimiter(ledger.store.locations, ledger.store.action_limits, guard)
        )
        self._action_runner = ActionRunner(ledger, file_actions)
        self._retrier = ActionRetrier(
            ledger=ledger,
            file_actions=file_actions,
            lock=lock,
            policies=self._policies,
            location_recorder=self._location_recorder,
            action_runner=self._action_runner,
        )

    def settle(self, found: JudgedFile) -> Action:
        """Do what a verdict asks for, and give what is in force now.

        Any number of times for the same file.  An action that fails is recorded, told and tried
        again by ``retry``.  Raises StorageError if nothing can be recorded; then do it again.
        """
        if self._is_nothing(found):
            return Action.ALLOW
        with self._lock.acquire(), _open(found) as (present, problem):
            if self._file_actions.is_staging_path(found.path):
                return Action.ALLOW  # it is told of where it comes to rest
            wanted, place = self._settled(present, problem)
        in_force = Action.ALLOW if place is None else _IN_FORCE.get(place.state, Action.ALLOW)
        return wanted if (wanted, in_force) == _ONLY_KNOWN else in_force

    def retry(self, now: float) -> None:
        """Do what is due; to be called every few seconds.  Raises StorageError."""
        self._retrier.retry(now)

    def settle_upload(self, key: str) -> None:
        """Open the case of a content that web applications told about, or forget what they told.

        ``retry`` does so too, once a minute for all of them.  Raises StorageError.
        """
        self._retrier.settle_upload(key)

    def _settled(
        self, found: JudgedFile, problem: ActionFailure | None
    ) -> tuple[Action, FileLocation | None]:
        """Record, act, record; the turn is ours.  *problem*: why its file could not be opened."""
        here = self._arrived(found)
        with self._ledger.transaction() as transaction:
            case = open_case(transaction, found)
            released = case is not None and case.state is CaseState.RELEASED
            decision = decide(found.verdict, self._policies.for_root(found.root), released=released)
            decision = effective_decision(here, found, decision)
            restored = here is not None and here.state is LocationState.RESTORED
            if decision.action is Action.ALLOW or restored:
                place = self._location_recorder.record_dropped(transaction, here, found)
            elif problem is not None and problem.lost:
                place = self._location_recorder.record_lost(
                    transaction, here, found, decision, str(problem)
                )
            else:
                place = self._location_recorder.record(transaction, case, here, found, decision)
        if place is not None and place.state is LocationState.PENDING:
            place = self._action_runner.run(place, found.fd)
        if place is not None and decision.action is Action.ALLOW and _lifts(found, place):
            place = self._action_runner.release(place, decision.rule)
        return decision.action, place

    def _arrived(self, found: JudgedFile) -> FileLocation | None:
        """Give what is known of this content at this path, interrupted acts cleared up.

        What is known of other contents there is history: they were replaced.
        """
        here = None
        for place in self._store.locations.load_live(found.path):
            known = (
                self._action_runner.resolve_interrupted(place)
                if place.state in INTERRUPTED_STATES
                else place
            )
            if known.key == found.key and known.state.live:
                here = known
                continue
            if known.state.live:
                same_file = (known.file.dev, known.file.ino) == (found.id.dev, found.id.ino)
                self._action_runner.record_gone(known, _OTHER, rewritten=same_file)
        return self._met(here, found)

    def _met(self, here: FileLocation | None, found: JudgedFile) -> FileLocation | None:
        """Take in that the file is held already, whatever is known: it may have been moved here."""
        held = (
            self._file_actions.hold_token(found.fd)
            if found.fd is not None and _is_shut(found.fd)
            else ""
        )
        if not held or (here is not None and here.held and here.file == found.id):
            return here
        with self._ledger.transaction() as transaction:
            case = self._store.cases.load_by_key(found.key)
            return self._location_recorder.record_held(transaction, case, here, found, held)

    def _is_nothing(self, found: JudgedFile) -> bool:
        """Say, with two cheap questions, if this file is like almost all others."""
        verdict = found.verdict
        if verdict.outcome is Outcome.MATCH or verdict.suppressed:
            return False
        missing = verdict.outcome is Outcome.UNDETERMINED
        if missing and self._policies.holds_undetermined(found.root):
            return False
        if found.fd is not None and _is_shut(found.fd):  # it may be held, and moved here
            return False
        return not self._store.locations.load_live(
            found.path
        ) and not self._store.cases.load_by_key(found.key)


def _lifts(found: JudgedFile, place: FileLocation) -> bool:
    """Say if a verdict ends a holding: not if an answer is missing that once was a match."""
    missing = found.verdict.outcome is Outcome.UNDETERMINED
    return bool(place.held) and (not missing or place.rule == UNDETERMINED)


def _is_shut(fd: int) -> bool:
    """Say if nobody may open a file, as if it were held.  Costs as little as can be."""
    return stat.S_IMODE(os.fstat(fd).st_mode) == 0


@contextmanager
def _open(found: JudgedFile) -> Iterator[tuple[JudgedFile, ActionFailure | None]]:
    """Give it with its descriptor; or say why it has none."""
    if found.fd is not None:
        yield found, None
        return
    fd = reopen(found.path, found.key, found.id)
    if isinstance(fd, ActionFailure):
        yield found, fd
        return
    try:
        yield replace(found, fd=fd, id=FileId.from_stat(os.fstat(fd))), None
    finally:
        os.close(fd)
