"""Action limits that were reached, and the decisions about them.

A reached limit pauses actions for its subject until a decision is recorded.  (Table ``floods``.)
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hashwacht.storage.sqlite.database import DatabaseTable


class LimitScope(StrEnum):
    """What is counted, and what it has in common."""

    HASH = "hash"
    """Accounts with the same content, in all roots."""
    ACCOUNT = "account"
    """Quarantined files of the same owner, in one root."""
    ROOT = "root"
    """Accounts in the same root."""
    LIST = "list"
    """Accounts with contents that only a new hash list knows, in all roots."""


class ApprovalDecision(StrEnum):
    """The decision about a reached limit."""

    OPEN = "open"
    """Not decided: actions wait."""
    APPROVED = "let-go"
    """The matches are right: waiting actions are carried out; one window is not counted."""
    DISCARDED = "stand-down"
    """The matches are wrong: waiting actions are dropped; no action until reinstated."""
    REINSTATED = "recalled"
    """Discarding has ended: actions are taken again."""


@dataclass(frozen=True, slots=True)
class LimitSubject:
    """What a limit applies to: *value* is the SHA-256 of a content, a user id, a list, or empty.

    *root* is empty for a content and a list, which are counted in all roots.
    """

    scope: LimitScope
    root: str
    value: str


@dataclass(frozen=True, slots=True)
class ReachedLimit:
    """A limit of *max_actions* that was reached.  Times are Unix seconds."""

    id: int
    subject: LimitSubject
    max_actions: int
    reached_at: float
    decision: ApprovalDecision = ApprovalDecision.OPEN
    decided_at: float | None = None
    decided_by: str = ""
    reason: str = ""


_SUBJECT = "scope = ? AND root = ? AND subject = ?"
_ACTIVE = "ruling IN ('open', 'stand-down')"
_COLUMNS = "id, scope, root, subject, most, began, ruling, ruled, who, reason"


class ReachedLimits(DatabaseTable):
    """All limits that were ever reached."""

    def load_active(self, subject: LimitSubject) -> ReachedLimit | None:
        """Return the reached limit of a subject that pauses or discards its actions."""
        limits = self._load(f"{_SUBJECT} AND {_ACTIVE}", subject.scope, subject.root, subject.value)
        return limits[0] if limits else None

    def was_approved_since(self, subject: LimitSubject, since: float) -> bool:
        """Return whether a limit of this subject was approved after a time."""
        condition = f"{_SUBJECT} AND ruled > ? AND ruling = '{ApprovalDecision.APPROVED}' LIMIT 1"
        return bool(self._load(condition, subject.scope, subject.root, subject.value, since))

    def load(self, number: int) -> ReachedLimit | None:
        """Return the reached limit with a number."""
        return next(iter(self._load("id = ?", number)), None)

    def load_latest(self, limit: int, *, past: bool = False) -> list[ReachedLimit]:
        """Return the newest active limits first; with *past* also those that are over."""
        return self._load(f"{'1' if past else _ACTIVE} ORDER BY id DESC LIMIT ?", limit)

    def record(self, subject: LimitSubject, most: int, now: float) -> ReachedLimit:
        """Record that a limit was reached."""
        number = self._database.insert(
            "INSERT INTO floods (scope, root, subject, most, began, ruling, who, reason)"
            " VALUES (?, ?, ?, ?, ?, 'open', '', '')",
            (subject.scope, subject.root, subject.value, most, now),
        )
        return ReachedLimit(number, subject, most, now)

    def record_decision(
        self, limit_id: int, decision: ApprovalDecision, now: float, who: str, reason: str
    ) -> None:
        """Record a decision about a reached limit."""
        self._database.execute(
            "UPDATE floods SET ruling = ?, ruled = ?, who = ?, reason = ? WHERE id = ?",
            (decision, now, who, reason, limit_id),
        )

    def _load(self, condition: str, *values: object) -> list[ReachedLimit]:
        rows = self._database.fetch_all(f"SELECT {_COLUMNS} FROM floods WHERE {condition}", values)  # noqa: S608  # our own constants
        limits = []
        for number, scope, root, value, most, began, ruling, *rest in rows:
            subject = LimitSubject(LimitScope(scope), root, value)
            decision = ApprovalDecision(ruling)
            limits.append(ReachedLimit(number, subject, most, began, decision, *rest))
        return limits
