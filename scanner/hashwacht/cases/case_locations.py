"""Recording where a content was found, and what is to be done about it there.

Whose file it is: the user of this machine that owns it.

Which place of a case is news.
"""

from __future__ import annotations

import os
import pwd
from dataclasses import replace

from hashwacht.audit.log import AuditEvent
from hashwacht.cases import wording
from hashwacht.cases.action_limit import ActionLimiter
from hashwacht.cases.case_opening import JudgedFile
from hashwacht.cases.ledger import LedgerTransaction
from hashwacht.cases.policy import PolicyDecision
from hashwacht.core.notice import NoticeKind
from hashwacht.core.types import Action, Outcome
from hashwacht.storage.action_limits import ReachedLimit
from hashwacht.storage.cases import Case
from hashwacht.storage.locations import FileLocation, LocationState


def owner_of(fd: int) -> tuple[int, str]:
    """Give user id and name of an open file's owner; the name is empty if nobody has the id."""
    uid = os.fstat(fd).st_uid
    try:
        return uid, pwd.getpwuid(uid).pw_name
    except KeyError:
        return uid, ""


MAX_CASE_NOTICES = 10
"""So many places of a content are told one by one."""


def notify_location(transaction: LedgerTransaction, place: FileLocation) -> None:
    """Tell of a place, unless there are so many of its content that one more is no news.

    Told are the first ten, every account's first, and then the 16th, 32nd, 64th and so on.
    """
    case = transaction.ledger.store.cases.load_by_key(place.key)
    if case is None:
        return
    news = place.number <= MAX_CASE_NOTICES or place.number & (place.number - 1) == 0
    if news or transaction.ledger.store.locations.is_first_of_account(place):
        transaction.notify(NoticeKind.CASE, wording.found(case, place), case)


UNDETERMINED = "undetermined"
"""The rule by which a file is held that nobody can say anything about."""

MOVED = "moved"
"""The rule of a held file that was moved while nobody watched."""

_UNDONE = frozenset({LocationState.WAITING, LocationState.FAILED, LocationState.PENDING})
_DECIDED = _UNDONE | {LocationState.HELD}
_TRIED_AGAIN = frozenset({LocationState.FAILED, LocationState.HELD})
_LET_GO = frozenset({LocationState.WAITING, LocationState.HELD})
"""States of what is due although a flood holds it: somebody has ruled so."""


def effective_decision(
    here: FileLocation | None, found: JudgedFile, decision: PolicyDecision
) -> PolicyDecision:
    """Say which decision holds: an answer that is missing takes nothing back that was decided."""
    missing = found.verdict.outcome is Outcome.UNDETERMINED
    if missing and here is not None and here.rule != UNDETERMINED and here.state in _DECIDED:
        return PolicyDecision(here.action, here.rule)
    return decision


class LocationRecorder:
    """Writes places into a page.  What is *pending* afterwards is to be done at once."""

    def __init__(self, guard: ActionLimiter) -> None:
        """Ask *guard* before every action."""
        self._guard = guard

    def record(
        self,
        transaction: LedgerTransaction,
        case: Case | None,
        here: FileLocation | None,
        found: JudgedFile,
        decision: PolicyDecision,
    ) -> FileLocation:
        """Record a file about which something is to be done, be it only observing it."""
        fresh = here is None or here.rule == UNDETERMINED != decision.rule
        place = here or _new(transaction, found, decision)
        seen = replace(_seen(place, found), rule=decision.rule)
        place = self._due(transaction, seen, decision.action, same=seen.file == place.file)
        if place == here:
            return place
        if fresh and case is not None:
            transaction.ledger.store.cases.record(replace(case, updated=transaction.now))
        how = {"action": str(decision.action), "state": str(place.state)}
        kept = transaction.record_location(place, _act(place, fresh=fresh, before=here), **how)
        if fresh and kept.state is not LocationState.PENDING:  # else it is told when it is done
            notify_location(transaction, kept)
        return kept

    def record_held(
        self,
        transaction: LedgerTransaction,
        case: Case | None,
        here: FileLocation | None,
        found: JudgedFile,
        held: str,
    ) -> FileLocation:
        """Record that the file at a place is held.  If it was not, it was moved there unseen."""
        if here is not None and here.held:
            return transaction.record_location(_seen(here, found))
        rule = UNDETERMINED if case is None else MOVED
        place = (
            _new(transaction, found, PolicyDecision(Action.HOLD, rule)) if here is None else here
        )
        met = replace(_seen(place, found), state=LocationState.HELD, action=Action.HOLD, held=held)
        return transaction.record_location(
            replace(met, due=None, limit_id=None), AuditEvent.FOUND, state=str(met.state)
        )

    def record_dropped(
        self, transaction: LedgerTransaction, here: FileLocation | None, found: JudgedFile
    ) -> FileLocation | None:
        """Record that nothing is to be done about a file; what is held is left to be released.

        An answer that is missing takes back only what was done because it was missing.
        """
        missing = found.verdict.outcome is Outcome.UNDETERMINED
        if here is None or (missing and here.rule != UNDETERMINED):
            return here
        place = _seen(here, found)
        if here.held:
            return place  # to be released, which records it
        if here.state in _UNDONE:
            return _let_be(transaction, place)
        return transaction.record_location(place) if place != here else here

    def record_due(
        self, transaction: LedgerTransaction, place: FileLocation, decision: PolicyDecision
    ) -> FileLocation:
        """Record what is to be done about a place that is due: it failed, or was let go."""
        if decision.action in (Action.ALLOW, Action.OBSERVE):
            if place.held:  # milder is not harmless
                held = replace(place, state=LocationState.HELD, action=Action.HOLD)
                return transaction.record_location(replace(held, due=None, limit_id=None))
            return _let_be(transaction, place)
        wanted = replace(place, action=decision.action, rule=decision.rule)
        if place.limit_id is not None and place.state in _LET_GO:  # which is not counted
            return transaction.record_location(
                replace(wanted, state=LocationState.PENDING, due=transaction.now, limit_id=None)
            )
        asked = self._permitted(transaction, wanted)
        return transaction.record_location(
            asked, AuditEvent.WAITING if asked.state is LocationState.WAITING else ""
        )

    def record_lost(
        self,
        transaction: LedgerTransaction,
        here: FileLocation | None,
        found: JudgedFile,
        decision: PolicyDecision,
        detail: str,
    ) -> FileLocation:
        """Record that the content was there, and is not any more."""
        place = here or _new(transaction, found, decision)
        gone = replace(place, state=LocationState.GONE, due=None, counted_at=None, detail=detail)
        kept = transaction.record_location(gone, AuditEvent.GONE, detail=detail)
        notify_location(transaction, kept)
        return kept

    def _permitted(self, transaction: LedgerTransaction, place: FileLocation) -> FileLocation:
        """Ask the flood guard; what it allows is counted and pending from now on."""
        pending = replace(place, state=LocationState.PENDING, due=transaction.now, limit_id=None)
        if place.rule == UNDETERMINED or self._guard.is_counted(place, transaction.now):
            return pending
        permission = self._guard.check(place, transaction.now)
        if permission.flood is None:
            return replace(pending, counted_at=transaction.now)
        if permission.new:
            self._began(transaction, permission.flood, place)
        if place.state is LocationState.HELD:  # and stays so, waiting to be sealed
            return replace(place, due=None, limit_id=permission.flood.id)
        if permission.is_discarded:
            detail = f"flood {permission.flood.id}: stood down"
            observed = _observed(place)
            return replace(observed, limit_id=permission.flood.id, detail=detail)
        return replace(place, state=LocationState.WAITING, due=None, limit_id=permission.flood.id)

    def _due(
        self, transaction: LedgerTransaction, place: FileLocation, action: Action, *, same: bool
    ) -> FileLocation:
        """Say what is to be done; a file that is held or sealed is never let go by this."""
        if place.state is LocationState.HELD and action is Action.OBSERVE:
            action = Action.HOLD  # what was held stays held until somebody or no match releases it
        if place.state is LocationState.HELD and not same:
            # Its owner has given it permissions, or put the same content there once more.
            place = replace(place, state=LocationState.OBSERVED, due=None)
        state = place.state
        if action is Action.OBSERVE:
            return _observed(place) if state in _UNDONE else place
        if state is LocationState.HELD and place.action is Action.ALLOW:  # its release has failed
            place = replace(place, action=Action.HOLD, due=None)
        if state is LocationState.HELD and place.action is action is Action.HOLD:
            return place
        if state in _TRIED_AGAIN and place.due is not None and place.due > transaction.now:
            return place
        return self._permitted(transaction, replace(place, action=action))

    def _began(
        self, transaction: LedgerTransaction, flood: ReachedLimit, place: FileLocation
    ) -> None:
        """Say that actions wait from now on, and how to go on."""
        subject = flood.subject
        transaction.audit(
            AuditEvent.LIMIT_REACHED,
            flood=flood.id,
            scope=str(subject.scope),
            root=subject.root,
            subject=subject.value,
            most=flood.max_actions,
        )
        case = transaction.ledger.store.cases.load_by_key(place.key)
        transaction.notify(NoticeKind.FLOOD, wording.flood(flood, self._guard.window), case)


def _act(place: FileLocation, *, fresh: bool, before: FileLocation | None) -> str:
    """Name what is written into the audit log; nothing if only times have changed."""
    if fresh:
        return AuditEvent.FOUND
    waits = place.state is LocationState.WAITING
    return AuditEvent.WAITING if waits and before and before.state is not place.state else ""


def _seen(place: FileLocation, found: JudgedFile) -> FileLocation:
    """Take in which file it is now; what was not opened may be another one than is known of it."""
    return place if found.fd is None else replace(place, file=found.id)


def _let_be(transaction: LedgerTransaction, place: FileLocation) -> FileLocation:
    """Drop what was to be done; a place that belongs to no case is then forgotten."""
    kept = transaction.record_location(_observed(place), AuditEvent.LEFT_ALONE)
    if kept.rule == UNDETERMINED:
        transaction.ledger.store.locations.remove(kept)
    return kept


def _observed(place: FileLocation) -> FileLocation:
    return replace(place, state=LocationState.OBSERVED, due=None, counted_at=None, limit_id=None)


def _new(
    transaction: LedgerTransaction, found: JudgedFile, decision: PolicyDecision
) -> FileLocation:
    uid, account = (None, "") if found.fd is None else owner_of(found.fd)
    return FileLocation(
        id=0,
        key=found.key,
        root=found.root,
        path=found.path,
        file=found.id,
        uid=uid,
        account=account,
        found_at=transaction.now,
        action=decision.action,
        rule=decision.rule,
        state=LocationState.OBSERVED,
    )
