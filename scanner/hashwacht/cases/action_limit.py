"""The action limit: pauses automatic actions when so many files match that a list must be wrong.

It counts files that were held or quarantined because of a match, per content, account and root.
Detection goes on: files are judged and cases opened.  Once a limit is reached, further actions
wait until an administrator decides to *approve* them (the list is right) or to *discard* them (it
is wrong); *reinstate* ends a discard.  Files that are held because no matcher answered are not
counted: no list is the cause, and an outage must not expose what the configuration wants held.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hashwacht.audit.log import AuditEvent
from hashwacht.cases.ledger import CaseLock, Ledger
from hashwacht.core.errors import UsageError
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


class ActionLimiter:
    """Checks every action, in the transaction that then counts it."""

    def __init__(
        self, locations: FileLocations, reached: ReachedLimits, settings: ActionLimitSettings
    ) -> None:
        self._locations, self._reached, self._settings = locations, reached, settings

    @property
    def window(self) -> float:
        """The seconds over which files are counted."""
        return self._settings.window

    def is_counted(self, location: FileLocation, now: float) -> bool:
        """Return True if a file is counted already, so that a repetition does not count again."""
        return location.counted_at is not None and location.counted_at > now - self.window

    def check(self, location: FileLocation, now: float) -> ActionPermission:
        """Return whether a file may be acted on; records a limit that has just been reached."""
        limits = [*self._limits(location)]
        active = [*filter(None, (self._reached.load_active(subject) for subject, *_ in limits))]
        if active:  # one that was discarded takes precedence
            discarded = [limit for limit in active if limit.decision is ApprovalDecision.DISCARDED]
            return ActionPermission((discarded or active)[0])
        since = now - self.window
        for subject, most, equal in limits:
            if self._reached.was_approved_since(subject, since):
                continue
            if self._locations.count_acted(since, most, **equal) >= most:
                return ActionPermission(self._reached.record(subject, most, now), new=True)
        return ActionPermission()

    def _limits(self, location: FileLocation) -> Iterator[tuple[LimitSubject, int, dict[str, Any]]]:
        """Yield what is counted, how many are allowed, and the columns that must be equal."""
        key, root, uid, settings = location.key, location.root, location.uid, self._settings
        content = LimitSubject(LimitScope.HASH, "", key)
        yield content, settings.per_hash, {"key": bytes.fromhex(key)}
        if uid is not None:
            account = LimitSubject(LimitScope.ACCOUNT, root, str(uid))
            yield account, settings.per_account, {"root": root, "uid": uid}
        yield LimitSubject(LimitScope.ROOT, root, ""), settings.per_root, {"root": root}


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
