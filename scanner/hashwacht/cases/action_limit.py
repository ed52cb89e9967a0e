"""What people rule about floods: let go, stand down, recall.

The flood guard: when so many files are acted upon that a list must have gone wrong.

It counts files that were held or quarantined because of a match, and stops actions, never
detection: files go on being judged, cases being opened.  When a limit is reached, what comes
next waits, however long, until somebody rules: *let go* (the list is right) or *stand down* (it
is wrong).  Files that are held because nobody can say anything about them are not counted: no
list is behind that, and an outage must not open what the configuration wants held.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hashwacht.audit.log import AuditEvent
from hashwacht.cases.case_lock import CaseLock
from hashwacht.cases.ledger import Ledger
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
    """If one file may be acted upon.  *flood* says why not, *new* that it has just begun."""

    flood: ReachedLimit | None = None
    new: bool = False

    @property
    def is_allowed(self) -> bool:
        """Nothing is in the way."""
        return self.flood is None

    @property
    def is_discarded(self) -> bool:
        """Somebody has ruled that such files are left alone."""
        return self.flood is not None and self.flood.decision is ApprovalDecision.DISCARDED


class ActionLimiter:
    """Asked before every action, in the transaction that then counts it."""

    def __init__(
        self, places: FileLocations, floods: ReachedLimits, settings: ActionLimitSettings
    ) -> None:
        """Count *places*, keep what was ruled in *floods*."""
        self._places, self._floods, self._settings = places, floods, settings

    @property
    def window(self) -> float:
        """The seconds over which files are counted."""
        return self._settings.window

    def is_counted(self, place: FileLocation, now: float) -> bool:
        """Say if a place is counted already, so that doing the same again is no further one."""
        return place.counted_at is not None and place.counted_at > now - self._settings.window

    def check(self, place: FileLocation, now: float) -> ActionPermission:
        """Say if a file may be acted upon; opens a flood if a limit has just been reached."""
        limits = [*self._limits(place)]
        in_force = [self._floods.load_active(subject) for subject, *_ in limits]
        floods = [flood for flood in in_force if flood is not None]
        for flood in sorted(
            floods, key=lambda flood: flood.decision is not ApprovalDecision.DISCARDED
        ):
            return ActionPermission(flood)
        since = now - self._settings.window
        for subject, most, equal in limits:
            if self._floods.was_approved_since(subject, since):
                continue
            if self._places.count_acted(since, most, **equal) >= most:
                return ActionPermission(self._floods.record(subject, most, now), new=True)
        return ActionPermission()

    def _limits(self, place: FileLocation) -> Iterator[tuple[LimitSubject, int, dict[str, Any]]]:
        """Give what is counted, how many are allowed, and the columns that must be equal."""
        key, root, uid = place.key, place.root, place.uid
        yield (
            LimitSubject(LimitScope.HASH, "", key),
            self._settings.per_hash,
            {"key": bytes.fromhex(key)},
        )
        if uid is not None:
            most = self._settings.per_account
            yield LimitSubject(LimitScope.ACCOUNT, root, str(uid)), most, {"root": root, "uid": uid}
        yield LimitSubject(LimitScope.ROOT, root, ""), self._settings.per_root, {"root": root}


_ACTS = {
    ApprovalDecision.APPROVED: AuditEvent.LIMIT_APPROVED,
    ApprovalDecision.DISCARDED: AuditEvent.LIMIT_DISCARDED,
    ApprovalDecision.REINSTATED: AuditEvent.LIMIT_REINSTATED,
}


class LimitApprovals:
    """Rules about one flood at a time, with a reason for each."""

    def __init__(self, ledger: Ledger, lock: CaseLock) -> None:
        """Write who rules into *book*."""
        self._ledger, self._lock, self._store = ledger, lock, ledger.store

    def approve(self, number: int, why: str) -> int:
        """Release waiting actions to ``CaseProcessor.retry`` and suspend the limit for one window.

        Gives how much waited.  Raises UsageError, StorageError.
        """
        return self._rule(number, ApprovalDecision.OPEN, ApprovalDecision.APPROVED, why)

    def discard(self, number: int, why: str) -> int:
        """Drop what waits, and only observe such files until this is recalled."""
        return self._rule(number, ApprovalDecision.OPEN, ApprovalDecision.DISCARDED, why)

    def reinstate(self, number: int, why: str) -> int:
        """End standing down: the policy counts again, also for what was dropped."""
        return self._rule(number, ApprovalDecision.DISCARDED, ApprovalDecision.REINSTATED, why)

    def _rule(
        self, number: int, expected: ApprovalDecision, ruling: ApprovalDecision, why: str
    ) -> int:
        with self._lock.acquire(), self._ledger.transaction() as transaction:
            flood = self._find(number, expected)
            self._store.action_limits.record_decision(
                flood.id, ruling, transaction.now, self._ledger.who, why
            )
            places = self._store.locations
            touched = {
                ApprovalDecision.APPROVED: lambda: places.approve(flood.id, transaction.now),
                ApprovalDecision.DISCARDED: lambda: places.discard(
                    flood.id, f"flood {flood.id}: stood down"
                ),
                ApprovalDecision.REINSTATED: lambda: places.reinstate(flood.id, transaction.now),
            }[ruling]()
            transaction.audit(_ACTS[ruling], flood=flood.id, files=touched, reason=why)
        return touched

    def _find(self, number: int, expected: ApprovalDecision) -> ReachedLimit:
        flood = self._store.action_limits.load(number)
        if flood is None:
            raise UsageError(
                f"there is no flood {number}", advice="`hashwacht limits list` names them."
            )
        if flood.decision is not expected:
            raise UsageError(
                f"flood {number} is {flood.decision}, not {expected}",
                advice="`hashwacht limits list --all` says how each of them stands.",
            )
        return flood
