"""The action limit: pauses automatic actions when so many files match that a list must be wrong.

It counts the accounts whose files were held or quarantined because of a match, per content and per
root: a list that is wrong matches files of many accounts, whereas copies in one account could be
made to pause the actions for all others.  Once such a limit is reached, further actions wait until
an administrator decides to *approve* them (the list is right) or to *discard* them (it is wrong);
*reinstate* ends a discard.  The limit of one account counts its quarantined files, and pauses no
hold: its further files are held until the decision.  A new version of a hash list has a lower
limit in its first hours, for contents that no other list knows.

Detection goes on: files are judged and cases opened.  Files that are held because no matcher
answered are not counted: no list is the cause, and an outage must not expose what the
configuration wants held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from hashwacht.audit.log import AuditEvent
from hashwacht.cases.ledger import CaseLock, Ledger
from hashwacht.core.errors import UsageError
from hashwacht.core.types import Action, Match
from hashwacht.settings import ActionLimitSettings
from hashwacht.storage.action_limits import (
    ApprovalDecision,
    LimitScope,
    LimitSubject,
    ReachedLimit,
    ReachedLimits,
)
from hashwacht.storage.locations import FileLocation, FileLocations


@dataclass(frozen=True, slots=True)
class ActionPermission:
    """Whether one file may be acted on: not if a *limit* is reached, which may be *new*."""

    limit: ReachedLimit | None = None
    new: bool = False

    @property
    def is_discarded(self) -> bool:
        """True if the decision about the limit is to leave such files alone."""
        return self.limit is not None and self.limit.decision is ApprovalDecision.DISCARDED

    @property
    def is_hold_only(self) -> bool:
        """True if the file is held instead of quarantined until the limit is decided."""
        is_account = self.limit is not None and self.limit.subject.scope is LimitScope.ACCOUNT
        return is_account and not self.is_discarded


class ActionLimiter:
    """Checks every action, in the transaction that then counts it."""

    def __init__(
        self,
        locations: FileLocations,
        reached: ReachedLimits,
        settings: ActionLimitSettings,
        imported_at: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        """*imported_at* returns when each local hash list, MATCHER/LIST, was imported."""
        self._locations, self._reached, self._settings = locations, reached, settings
        self._imported_at = imported_at

    @property
    def window(self) -> float:
        """The seconds over which files are counted."""
        return self._settings.window

    def new_list(self, matches: Iterable[Match], now: float) -> str:
        """Return the new list that knows a content if no other list does, as MATCHER/LIST."""
        lists = {f"{match.matcher}/{match.list}" for match in matches}
        new = self._new_lists(now)
        return min(lists) if lists and lists <= new.keys() else ""

    def _new_lists(self, now: float) -> dict[str, float]:
        """Return the lists that were imported lately, and when."""
        since = now - self._settings.new_list_period
        return {name: at for name, at in self._imported_at().items() if since < at <= now}

    def is_counted(self, location: FileLocation, now: float) -> bool:
        """Return True if a file is counted already, so that a repetition does not count again."""
        return location.counted_at is not None and location.counted_at > now - self.window

    def check(self, location: FileLocation, now: float) -> ActionPermission:
        """Return whether a file may be acted on; records a limit that has just been reached."""
        limits = dict(self._limits(location))
        new = self._new_lists(now) if location.list else {}
        if location.list in new:
            subject = LimitSubject(LimitScope.LIST, "", location.list)
            limits[subject] = self._settings.per_new_list
        active = {subject: self._reached.load_active(subject) for subject in limits}
        for limit in active.values():
            if limit is not None and limit.decision is ApprovalDecision.DISCARDED:
                return ActionPermission(limit)
        for subject, most in limits.items():
            is_list = subject.scope is LimitScope.LIST
            since = new[location.list] if is_list else now - self.window
            if subject.scope is LimitScope.ACCOUNT and location.action is not Action.QUARANTINE:
                continue
            if (limit := active[subject]) is not None:
                return ActionPermission(limit)
            if self._reached.was_approved_since(subject, since):
                continue
            if self._is_reached(subject.scope, location, since, most):
                return ActionPermission(self._reached.record(subject, most, now), new=True)
        return ActionPermission()

    def _limits(self, location: FileLocation) -> Iterator[tuple[LimitSubject, int]]:
        """Yield what is counted and how many are allowed; those that pause holds come first."""
        root, settings = location.root, self._settings
        yield LimitSubject(LimitScope.HASH, "", location.key), settings.per_hash
        yield LimitSubject(LimitScope.ROOT, root, ""), settings.per_root
        if location.uid is not None:
            subject = LimitSubject(LimitScope.ACCOUNT, root, str(location.uid))
            yield subject, settings.per_account

    def _is_reached(
        self, scope: LimitScope, location: FileLocation, since: float, most: int
    ) -> bool:
        """Return True if *location* would be one too many."""
        locations, root = self._locations, location.root
        if scope is LimitScope.ACCOUNT:
            return locations.count_acted(since, most, root=root, uid=location.uid) >= most
        if scope is LimitScope.ROOT:
            return locations.is_new_account(location.uid, since, most, root=root)
        if scope is LimitScope.LIST:
            return locations.is_new_account(location.uid, since, most, list=location.list)
        key = bytes.fromhex(location.key)
        return locations.is_new_account(location.uid, since, most, key=key)


class LimitApprovals:
    """Decides about one reached limit at a time, with a reason for each."""

    def __init__(self, ledger: Ledger, lock: CaseLock) -> None:
        self._ledger, self._lock, self._store = ledger, lock, ledger.store

    def approve(self, number: int, why: str) -> int:
        """Make paused actions due and suspend the limit for one window; return their number.

        ``CaseProcessor.retry_due`` carries them out.  Raises UsageError, StorageError.
        """
        return self._decide(number, ApprovalDecision.APPROVED, why)

    def discard(self, number: int, why: str) -> int:
        """Drop paused actions, and only observe such files until the limit is reinstated."""
        return self._decide(number, ApprovalDecision.DISCARDED, why)

    def reinstate(self, number: int, why: str) -> int:
        """End a discard: the policy applies again, also to files whose action was dropped."""
        return self._decide(number, ApprovalDecision.REINSTATED, why)

    def _decide(self, number: int, decision: ApprovalDecision, why: str) -> int:
        with self._lock.acquire(), self._ledger.transaction() as transaction:
            self._check(number, _REQUIRED[decision])
            now, locations = transaction.now, self._store.locations
            self._store.action_limits.record_decision(number, decision, now, self._ledger.who, why)
            if decision is ApprovalDecision.DISCARDED:
                files = locations.discard(number, f"action limit {number}: discarded")
            elif decision is ApprovalDecision.APPROVED:
                files = locations.approve(number, now)
            else:
                files = locations.reinstate(number, now)
            transaction.audit(_EVENTS[decision], limit=number, files=files, reason=why)
        return files

    def _check(self, number: int, required: ApprovalDecision) -> None:
        limit = self._store.action_limits.load(number)
        if limit is None:
            raise UsageError(
                f"there is no reached limit {number}",
                advice="`hashwacht limits list --all` shows all of them.",
            )
        if limit.decision is not required:
            raise UsageError(
                f"limit {number} is {limit.decision.name.lower()}, not {required.name.lower()}",
                advice="`hashwacht limits list --all` shows the state of each limit.",
            )


_REQUIRED = {
    ApprovalDecision.APPROVED: ApprovalDecision.OPEN,
    ApprovalDecision.DISCARDED: ApprovalDecision.OPEN,
    ApprovalDecision.REINSTATED: ApprovalDecision.DISCARDED,
}
"""The decision in force that each decision requires."""

_EVENTS = {
    ApprovalDecision.APPROVED: AuditEvent.LIMIT_APPROVED,
    ApprovalDecision.DISCARDED: AuditEvent.LIMIT_DISCARDED,
    ApprovalDecision.REINSTATED: AuditEvent.LIMIT_REINSTATED,
}
