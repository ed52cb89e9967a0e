"""Floods: why the guard holds actions, and what somebody has ruled about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hashwacht.storage.sqlite.database import Database


class LimitScope(StrEnum):
    """What so many files have in common."""

    HASH = "hash"
    """The content."""
    ACCOUNT = "account"
    """The owner, in one root."""
    ROOT = "root"


class ApprovalDecision(StrEnum):
    """What somebody has said."""

    OPEN = "open"
    """Nothing yet: actions wait."""
    APPROVED = "let-go"
    """They are right: what waited is carried out, and for one window nothing is counted."""
    DISCARDED = "stand-down"
    """They are wrong: what waited was dropped, and nothing is done until this is recalled."""
    REINSTATED = "recalled"
    """Standing down is over."""


@dataclass(frozen=True, slots=True)
class LimitSubject:
    """What a limit is for: *of* is the SHA-256 of a content, a user id, or empty.

    *root* is empty for a content, which counts wherever it lies.
    """

    scope: LimitScope
    root: str
    value: str


@dataclass(frozen=True, slots=True)
class ReachedLimit:
    """A limit that was reached: *most* files.  Times are Unix seconds; *ruled* None: not yet."""

    id: int
    subject: LimitSubject
    max_actions: int
    reached_at: float
    decision: ApprovalDecision = ApprovalDecision.OPEN
    decided_at: float | None = None
    decided_by: str = ""
    reason: str = ""


_COLUMNS = "id, scope, root, subject, most, began, ruling, ruled, who, reason"


class ReachedLimits:
    """All floods ever."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load_active(self, subject: LimitSubject) -> ReachedLimit | None:
        """Give the flood that nobody has ruled about yet, or in which we stand down."""
        found = self._read(
            "scope = ? AND root = ? AND subject = ? AND ruling IN ('open', 'stand-down')",
            subject.scope,
            subject.root,
            subject.value,
        )
        return found[0] if found else None

    def was_approved_since(self, subject: LimitSubject, since: float) -> bool:
        """Say if somebody has let go after a moment."""
        found = self._read(
            "scope = ? AND root = ? AND subject = ? AND ruled > ? AND ruling = 'let-go' LIMIT 1",
            subject.scope,
            subject.root,
            subject.value,
            since,
        )
        return bool(found)

    def load(self, number: int) -> ReachedLimit | None:
        """Give one by its number."""
        return next(iter(self._read("id = ?", number)), None)

    def load_latest(self, limit: int, *, past: bool = False) -> list[ReachedLimit]:
        """Give those in force, the newest first; with *past* the others too."""
        which = "1" if past else "ruling IN ('open', 'stand-down')"
        return self._read(f"{which} ORDER BY id DESC LIMIT ?", limit)

    def record(self, subject: LimitSubject, most: int, now: float) -> ReachedLimit:
        """Record that a limit was reached."""
        with self._database.transaction() as writer:
            number = writer.execute(
                "INSERT INTO floods (scope, root, subject, most, began, ruling, who, reason)"
                " VALUES (?, ?, ?, ?, ?, 'open', '', '')",
                (subject.scope, subject.root, subject.value, most, now),
            ).lastrowid
        assert number is not None
        return ReachedLimit(number, subject, most, now)

    def record_decision(
        self, flood: int, ruling: ApprovalDecision, now: float, who: str, reason: str
    ) -> None:
        """Record what somebody has ruled."""
        with self._database.transaction() as writer:
            writer.execute(
                "UPDATE floods SET ruling = ?, ruled = ?, who = ?, reason = ? WHERE id = ?",
                (ruling, now, who, reason, flood),
            )

    def _read(self, which: str, *values: object) -> list[ReachedLimit]:
        with self._database.read_connection() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM floods WHERE {which}",  # noqa: S608  # our own constants
                values,
            ).fetchall()
        return [
            ReachedLimit(
                number,
                LimitSubject(LimitScope(scope), root, of),
                most,
                began,
                ApprovalDecision(ruling),
                *rest,
            )
            for number, scope, root, of, most, began, ruling, *rest in rows
        ]
