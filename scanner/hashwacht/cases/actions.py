"""Doing what was decided, and recording what came of it.  Only who has the turn comes here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from hashwacht.audit.chain import JSON
from hashwacht.audit.log import AuditEvent
from hashwacht.cases import wording
from hashwacht.cases.case_locations import MAX_CASE_NOTICES, notify_location
from hashwacht.cases.case_opening import reopen
from hashwacht.cases.file_actions import ActionFailure, ActionResult, FileActions, InterruptedResult
from hashwacht.cases.ledger import Ledger, LedgerTransaction
from hashwacht.core.notice import NoticeKind
from hashwacht.core.types import Action, FileId
from hashwacht.platform.backoff import Backoff
from hashwacht.storage.locations import FileLocation, LocationState

INTERRUPTED_STATES = frozenset(
    {LocationState.PENDING, LocationState.RESTORING, LocationState.DESTROYING}
)
"""States in which only a crash can leave a place."""

RETRY = Backoff(60.0, 6 * 3600.0)
"""Between two attempts of an action."""

_PATIENCE = 2
"""So many times what may pass by itself fails before people are told."""

_DONE = {
    Action.HOLD: (LocationState.HELD, AuditEvent.HELD),
    Action.QUARANTINE: (LocationState.QUARANTINED, AuditEvent.QUARANTINED),
}


class ActionRunner:
    """Acts upon one place at a time."""

    def __init__(self, ledger: Ledger, file_actions: FileActions) -> None:
        """Write into *book* what *hands* do."""
        self._ledger, self._file_actions = ledger, file_actions
        self._store = ledger.store

    def run(self, place: FileLocation, fd: int | None) -> FileLocation:
        """Hold or quarantine a place that is recorded as pending; *fd* is its file if open."""
        mine = reopen(place.path, place.key, place.file) if fd is None else None
        if isinstance(mine, ActionFailure):
            return self._record(place, mine)
        try:
            return self._act(place, fd if mine is None else mine)
        finally:
            if mine is not None:
                os.close(mine)

    def _act(self, place: FileLocation, fd: int | None) -> FileLocation:
        assert fd is not None, "given or opened"
        case = self._told(place)
        if place.action is Action.QUARANTINE:
            done = self._file_actions.quarantine(fd, place, case)
            if isinstance(done, ActionResult) or not done.holdable:
                return self._record(place, done)
            return self._record(self._held_meanwhile(place, fd, case), done)
        done = self._file_actions.hold(fd, place, case)
        return self._record(place if isinstance(done, ActionFailure) else _touched(place, fd), done)

    def _held_meanwhile(
        self, place: FileLocation, fd: int, case: Mapping[str, JSON]
    ) -> FileLocation:
        """Hold what should be sealed and cannot be now: that is less, and better than nothing."""
        done = self._file_actions.hold(fd, place, case)
        if isinstance(done, ActionFailure):
            return place
        return replace(_touched(place, fd), held=done.held)

    def release(self, place: FileLocation, why: str) -> FileLocation:
        """Let a held file be served again; *why* goes into the log.

        If that fails it stays held, with the action *allow*, and is due to be tried again.
        """
        done = self._file_actions.release(place, self._told(place))
        with self._ledger.transaction() as transaction:
            if isinstance(done, ActionFailure) and not done.lost:
                return self._failed(transaction, replace(place, action=Action.ALLOW), done)
            if isinstance(done, ActionFailure):
                return self._ended(
                    transaction, place, LocationState.GONE, AuditEvent.GONE, str(done)
                )
            detail = f"{why}; {done.detail}" if done.detail else why
            return self._ended(
                transaction, place, LocationState.RELEASED, AuditEvent.RELEASED, detail
            )

    def record_gone(self, place: FileLocation, detail: str, *, rewritten: bool) -> FileLocation:
        """Record that the content of a place is not there any more.

        *rewritten*: its very file holds another one now, and that one is not to be held.  A held
        file that is elsewhere stays held: it is met there.
        """
        if place.held and rewritten:
            place = self.release(place, detail)
            if place.held or not place.state.live:
                return place
        with self._ledger.transaction() as transaction:
            return self._ended(transaction, place, LocationState.GONE, AuditEvent.GONE, detail)

    def resolve_interrupted(self, place: FileLocation) -> FileLocation:
        """Find out how far an interrupted act came; a pending place stays so if it came nowhere."""
        fate, done = self._file_actions.inspect_interrupted(place)
        if fate is InterruptedResult.SEALED and place.state is LocationState.PENDING:
            return self._record(replace(place, action=Action.QUARANTINE), done)
        if fate is InterruptedResult.HELD and place.state is LocationState.PENDING:
            return self._hold_again(place, done)
        if place.state is LocationState.PENDING:
            return place
        state, act = {
            InterruptedResult.RESTORED: (LocationState.RESTORED, AuditEvent.RESTORED),
            InterruptedResult.DESTROYED: (LocationState.DESTROYED, AuditEvent.DESTROYED),
        }.get(fate, (LocationState.QUARANTINED, AuditEvent.FAILED))
        with self._ledger.transaction() as transaction:
            path = done.path or place.path
            known = replace(place, state=state, due=None, path=path, detail=done.detail)
            return transaction.record_location(known, act, detail=done.detail, **done.facts)

    def _hold_again(self, place: FileLocation, done: ActionResult) -> FileLocation:
        """Record a holding; if it is to be quarantined, that has only begun."""
        if place.action is Action.HOLD:
            return self._record(replace(place, file=_as_it_is(place)), done)
        with self._ledger.transaction() as transaction:
            return transaction.record_location(replace(place, held=done.held))

    def _record(self, place: FileLocation, done: ActionResult | ActionFailure) -> FileLocation:
        with self._ledger.transaction() as transaction:
            if isinstance(done, ActionResult):
                return self._succeeded(transaction, place, done)
            if not done.lost:
                return self._failed(transaction, place, done)
        return self.record_gone(place, str(done), rewritten=done.rewritten)

    def _succeeded(
        self, transaction: LedgerTransaction, place: FileLocation, done: ActionResult
    ) -> FileLocation:
        state, act = _DONE[place.action]
        changed = replace(
            place,
            state=state,
            acted_at=transaction.now,
            due=None,
            vault=done.vault,
            held=done.held if state is LocationState.HELD else "",
            detail=done.detail,
        )
        facts = {"vault": done.vault} if done.vault else {}
        kept = transaction.record_location(changed, act, detail=done.detail, **facts, **done.facts)
        notify_location(transaction, kept)
        return kept

    def _failed(
        self, transaction: LedgerTransaction, place: FileLocation, why: ActionFailure
    ) -> FileLocation:
        """Keep a place to be tried again; what is held stays held."""
        pause = RETRY.delay(place.attempts + 1)
        held = bool(place.held)
        changed = replace(
            place,
            state=LocationState.HELD if held else LocationState.FAILED,
            attempts=place.attempts + 1,
            due=transaction.now + pause,
            counted_at=place.counted_at if held else None,
            detail=str(why),
        )
        tried = "release" if place.action is Action.ALLOW else str(place.action)
        kept = transaction.record_location(
            changed, AuditEvent.FAILED, action=tried, detail=str(why)
        )
        if place.attempts == (_PATIENCE if why.transient else 0):
            case = self._store.cases.load_by_key(place.key)
            transaction.notify(NoticeKind.TROUBLE, wording.failed(case, kept, tried, why), case)
        return kept

    def _ended(
        self,
        transaction: LedgerTransaction,
        place: FileLocation,
        state: LocationState,
        act: AuditEvent,
        detail: str,
    ) -> FileLocation:
        """Record that there is nothing to be done any more; without a case nobody asks again."""
        counted = place.counted_at if place.acted_at else None
        known = replace(
            place, state=state, due=None, held="", counted_at=counted, detail=detail, attempts=0
        )
        kept = transaction.record_location(known, act, detail=detail)
        if self._store.cases.load_by_key(place.key) is None:
            self._store.locations.remove(kept)
        return kept

    def _told(self, place: FileLocation) -> dict[str, JSON]:
        """Give the case for who acts, or what is known without one; the place goes with it."""
        case = self._store.cases.load_by_key(place.key)
        told = (
            self._ledger.case_file(case, MAX_CASE_NOTICES).to_json()
            if case
            else {"v": 1, "type": "case"}
        )
        return {**told, "sha256": place.key, "file": self._ledger.location_facts(place)}


def _touched(place: FileLocation, fd: int) -> FileLocation:
    """Take in the times that holding has given the file, or it would be taken for another one."""
    return replace(place, file=FileId.from_stat(os.fstat(fd)))


def _as_it_is(place: FileLocation) -> FileId:
    """Give the file with the times that holding has given it, if it is still at its path."""
    try:
        now = FileId.from_stat(os.lstat(place.path))
    except OSError:
        return place.file
    same = (now.dev, now.ino) == (place.file.dev, place.file.ino)
    return now if same else place.file
