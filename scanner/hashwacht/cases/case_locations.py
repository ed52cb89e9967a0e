"""Recording where a content was found, and which action is to follow there.

``LocationRecorder`` is the only writer of new states: it applies the action limit, and what it
leaves *pending* is carried out at once.
"""

from __future__ import annotations

import json
from dataclasses import replace

from hashwacht.audit.log import AuditEvent
from hashwacht.cases.action_limit import ActionLimiter
from hashwacht.cases.case_opening import JudgedFile
from hashwacht.cases.case_rendering import found_summary, limit_summary
from hashwacht.cases.ledger import LedgerTransaction
from hashwacht.cases.policy import PolicyDecision
from hashwacht.core.notice import NoticeKind
from hashwacht.core.types import Action, Outcome
from hashwacht.panels.sites import SiteMap
from hashwacht.platform.accounts import Account, Accounts
from hashwacht.quarantine.hold_methods import HoldRecord
from hashwacht.storage.action_limits import ReachedLimit
from hashwacht.storage.cases import Case
from hashwacht.storage.locations import FileLocation, LocationState

MAX_CASE_NOTICES = 10
"""Locations of a content that get a notice each."""

UNDETERMINED = "undetermined"
"""The rule by which an undetermined file is held."""

MOVED = "moved"
"""The rule of a held file that was moved unobserved."""

_OPEN_STATES = frozenset({LocationState.WAITING, LocationState.FAILED, LocationState.PENDING})
_DECIDED_STATES = _OPEN_STATES | {LocationState.HELD}
_RETRIED_STATES = frozenset({LocationState.FAILED, LocationState.HELD})
_PAUSED_STATES = frozenset({LocationState.WAITING, LocationState.HELD})
"""States of locations that are due although a limit pauses them: that limit was approved."""


def notify_location(transaction: LedgerTransaction, location: FileLocation) -> None:
    """Send a notice about a location; if its content has very many, only log it.

    The first ten get one, the first of every account, and then the 16th, 32nd, 64th and so on.
    """
    store, number = transaction.ledger.store, location.number
    case = store.cases.load_by_key(location.key)
    if case is None:
        return
    summary = found_summary(case, location)
    is_news = number <= MAX_CASE_NOTICES or number & (number - 1) == 0
    if is_news or store.locations.is_first_of_account(location):
        transaction.notify(NoticeKind.CASE, summary, case)
    else:
        transaction.log_match(summary, case)


def effective_decision(
    known: FileLocation | None, judged: JudgedFile, decision: PolicyDecision
) -> PolicyDecision:
    """Return the decision that applies: an undetermined verdict revokes no earlier one."""
    if known is None or judged.verdict.outcome is not Outcome.UNDETERMINED:
        return decision
    if known.rule != UNDETERMINED and known.state in _DECIDED_STATES:
        return PolicyDecision(known.action, known.rule)
    return decision


class LocationRecorder:
    """Records locations in a transaction.  *limiter* checks every action.

    *accounts* are the owners of files, *sites* those of a hosting panel.
    """

    def __init__(self, limiter: ActionLimiter, accounts: Accounts, sites: SiteMap) -> None:
        self._limiter, self._accounts, self._sites = limiter, accounts, sites

    def record(
        self,
        transaction: LedgerTransaction,
        case: Case | None,
        known: FileLocation | None,
        judged: JudgedFile,
        decision: PolicyDecision,
        *,
        undone: bool = False,
    ) -> FileLocation:
        """Record a file for which the decision is an action or to observe it.

        *undone*: it is recorded as held, and its hold is not in force.
        """
        is_new = known is None or known.rule == UNDETERMINED != decision.rule
        before = known or self._new(transaction, judged, decision)
        new_list = self._limiter.new_list(judged.verdict.matches, transaction.now)
        seen = replace(_with_file(before, judged), rule=decision.rule, list=new_list)
        same_file = seen.file == before.file and not undone
        location = self._next(transaction, seen, decision.action, same_file=same_file)
        if location == known:
            return location
        if is_new and case is not None:
            transaction.ledger.store.cases.record(replace(case, updated=transaction.now))
        facts = {"action": str(decision.action), "state": str(location.state)}
        event = _event(location, is_new=is_new, known=known)
        stored = transaction.record_location(location, event, **facts)
        if is_new and stored.state is not LocationState.PENDING:  # else after the action
            notify_location(transaction, stored)
        return stored

    def record_held(
        self,
        transaction: LedgerTransaction,
        case: Case | None,
        known: FileLocation | None,
        judged: JudgedFile,
        hold: HoldRecord,
    ) -> FileLocation:
        """Record a file that is held; if it was not held here, it was moved here unobserved."""
        if known is not None and known.held:
            return transaction.record_location(_with_file(known, judged))
        rule = UNDETERMINED if case is None else MOVED
        owner = None if hold.uid is None else self._accounts.of(hold.uid)
        decision = PolicyDecision(Action.HOLD, rule)
        location = known or self._new(transaction, judged, decision, owner)
        moved = replace(
            _with_file(location, judged),
            state=LocationState.HELD,
            action=Action.HOLD,
            held=str(hold.by),
            due=None,
            limit_id=None,
        )
        return transaction.record_location(moved, AuditEvent.FOUND, state=str(moved.state))

    def record_allowed(
        self, transaction: LedgerTransaction, known: FileLocation | None, judged: JudgedFile
    ) -> FileLocation | None:
        """Record that a file needs no action; a held one is returned, to be released.

        An undetermined verdict revokes only what an undetermined verdict caused.
        """
        is_undetermined = judged.verdict.outcome is Outcome.UNDETERMINED
        if known is None or (is_undetermined and known.rule != UNDETERMINED):
            return known
        location = _with_file(known, judged)
        if known.held:
            return location  # its release is recorded
        if known.state in _OPEN_STATES:
            return _drop_action(transaction, location)
        return transaction.record_location(location) if location != known else known

    def record_due(
        self, transaction: LedgerTransaction, location: FileLocation, decision: PolicyDecision
    ) -> FileLocation:
        """Record the next step for a location that is due: its action failed or was approved."""
        if decision.action in (Action.ALLOW, Action.OBSERVE):
            if location.held:  # a milder policy does not make it harmless
                held = replace(location, state=LocationState.HELD, action=Action.HOLD)
                return transaction.record_location(replace(held, due=None, limit_id=None))
            return _drop_action(transaction, location)
        decided = replace(location, action=decision.action, rule=decision.rule)
        if location.limit_id is not None and location.state in _PAUSED_STATES:  # not counted
            return transaction.record_location(_pending(transaction, decided))
        checked = self._check_limit(transaction, decided)
        is_waiting = checked.state is LocationState.WAITING
        return transaction.record_location(checked, AuditEvent.WAITING if is_waiting else "")

    def record_lost(
        self,
        transaction: LedgerTransaction,
        known: FileLocation | None,
        judged: JudgedFile,
        decision: PolicyDecision,
        detail: str,
    ) -> FileLocation:
        """Record that the content was there and is gone."""
        location = known or self._new(transaction, judged, decision)
        gone = replace(location, state=LocationState.GONE, due=None, counted_at=None, detail=detail)
        stored = transaction.record_location(gone, AuditEvent.GONE, detail=detail)
        notify_location(transaction, stored)
        return stored

    def _check_limit(self, transaction: LedgerTransaction, location: FileLocation) -> FileLocation:
        """Apply the action limit; an allowed action is counted and pending from now on."""
        pending = _pending(transaction, location)
        if location.rule == UNDETERMINED or self._limiter.is_counted(location, transaction.now):
            return pending
        permission = self._limiter.check(location, transaction.now)
        limit = permission.limit
        if limit is None:
            return replace(pending, counted_at=transaction.now)
        if permission.new:
            self._record_limit(transaction, limit, location)
        if location.state is LocationState.HELD:  # stays held until it may be sealed
            return replace(location, due=None, limit_id=limit.id)
        if permission.is_discarded:
            detail = f"action limit {limit.id}: discarded"
            return replace(observed(location), limit_id=limit.id, detail=detail)
        if permission.is_hold_only:
            return replace(pending, action=Action.HOLD, limit_id=limit.id)
        return replace(location, state=LocationState.WAITING, due=None, limit_id=limit.id)

    def _next(
        self,
        transaction: LedgerTransaction,
        location: FileLocation,
        action: Action,
        *,
        same_file: bool,
    ) -> FileLocation:
        """Return the location with its next step; this never releases a held or sealed file."""
        if location.state is LocationState.HELD and action is Action.OBSERVE:
            action = Action.HOLD  # only a decision or a verdict without match releases it
        if location.state is LocationState.HELD and not same_file:
            # The owner has restored permissions, or stored the same content again.
            location = replace(location, state=LocationState.OBSERVED, due=None)
        state = location.state
        if action is Action.OBSERVE:
            is_open = state in _OPEN_STATES or state is LocationState.RELEASED
            return observed(location) if is_open else location
        if state is LocationState.HELD and location.action is Action.ALLOW:  # its release failed
            location = replace(location, action=Action.HOLD, due=None)
        if state is LocationState.HELD and location.action is action is Action.HOLD:
            return location
        waits = location.due is not None and location.due > transaction.now
        if state in _RETRIED_STATES and waits:
            return location
        return self._check_limit(transaction, replace(location, action=action))

    def _new(
        self,
        transaction: LedgerTransaction,
        judged: JudgedFile,
        decision: PolicyDecision,
        owner: Account | None = None,
    ) -> FileLocation:
        if owner is None and judged.fd is not None:
            owner = self._accounts.owner(judged.fd)
        location = _new_location(transaction.now, judged, decision, owner)
        site = self._sites.of(judged.path)
        return replace(location, site=json.dumps(site)) if site else location

    def _record_limit(
        self, transaction: LedgerTransaction, limit: ReachedLimit, location: FileLocation
    ) -> None:
        """Record that a limit is reached, and send a notice with the possible decisions."""
        subject = limit.subject
        transaction.audit(
            AuditEvent.LIMIT_REACHED,
            limit=limit.id,
            scope=str(subject.scope),
            root=subject.root,
            subject=subject.value,
            max_actions=limit.max_actions,
        )
        case = transaction.ledger.store.cases.load_by_key(location.key)
        transaction.notify(NoticeKind.FLOOD, limit_summary(limit, self._limiter.window), case)


def _event(location: FileLocation, *, is_new: bool, known: FileLocation | None) -> str:
    """Return the audit event; none if only times have changed."""
    if is_new:
        return AuditEvent.FOUND
    waits = location.state is LocationState.WAITING
    return AuditEvent.WAITING if waits and known and known.state is not location.state else ""


def _with_file(location: FileLocation, judged: JudgedFile) -> FileLocation:
    """Record the identity of an opened file; one that was not opened may be another by now."""
    return location if judged.fd is None else replace(location, file=judged.id)


def _drop_action(transaction: LedgerTransaction, location: FileLocation) -> FileLocation:
    """Drop the action; a location without a case is then removed."""
    stored = transaction.record_location(observed(location), AuditEvent.LEFT_ALONE)
    if stored.rule == UNDETERMINED:
        transaction.ledger.store.locations.remove(stored)
    return stored


def observed(location: FileLocation) -> FileLocation:
    """Return the location without an action."""
    return replace(location, state=LocationState.OBSERVED, due=None, counted_at=None, limit_id=None)


def _pending(transaction: LedgerTransaction, location: FileLocation) -> FileLocation:
    return replace(location, state=LocationState.PENDING, due=transaction.now, limit_id=None)


def _new_location(
    now: float, judged: JudgedFile, decision: PolicyDecision, owner: Account | None
) -> FileLocation:
    return FileLocation(
        id=0,
        key=judged.key,
        root=judged.root,
        path=judged.path,
        file=judged.id,
        uid=owner.uid if owner else None,
        account=owner.name if owner else "",
        found_at=now,
        action=decision.action,
        rule=decision.rule,
        state=LocationState.OBSERVED,
    )
