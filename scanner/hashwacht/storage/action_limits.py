"""Floods: why the guard holds actions, and what somebody has ruled about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hashwacht.storage.sqlite.database import Database


class Scope(StrEnum):
    """What so many files have in common."""

    HASH = "hash"
    """The content."""
    ACCOUNT = "account"
    """The owner, in one root."""
    ROOT = "root"


class Ruling(StrEnum):
    """What somebody has said."""

    OPEN = "open"
    """Nothing yet: actions wait."""
    LET_GO = "let-go"
    """They are right: what waited is carried out, and for one window nothing is counted."""
    STAND_DOWN = "stand-down"
    """They are wrong: what waited was dropped, and nothing is done until this is recalled."""
    RECALLED = "recalled"
    """Standing down is over."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a limit is for: *of* is the SHA-256 of a content, a user id, or empty.

    *root* is empty for a content, which counts wherever it lies.
    """

    scope: Scope
    root: str
    of: str


@dataclass(frozen=True, slots=True)
class Flood:
    """A limit that was reached: *most* files.  Times are Unix seconds; *ruled* None: not yet."""

    id: int
    subject: Subject
    most: int
    began: float
    ruling: Ruling = Ruling.OPEN
    ruled: float | None = None
    who: str = ""
    reason: str = ""


_COLUMNS = "id, scope, root, subject, most, began, ruling, ruled, who, reason"


class Floods:
    """All floods ever."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def in_force(self, subject: Subject) -> Flood | None:
        """Give the flood that nobody has ruled about yet, or in which we stand down."""
        found = self._read(
            "scope = ? AND root = ? AND subject = ? AND ruling IN ('open', 'stand-down')",
            subject.scope,
            subject.root,
            subject.of,
        )
        return found[0] if found else None

    def let_go_since(self, subject: Subject, since: float) -> bool:
        """Say if somebody has let go after a moment."""
        found = self._read(
            "scope = ? AND root = ? AND subject = ? AND ruled > ? AND ruling = 'let-go' LIMIT 1",
            subject.scope,
            subject.root,
            subject.of,
            since,
        )
        return bool(found)

    def get(self, number: int) -> Flood | None:
        """Give one by its number."""
        return next(iter(self._read("id = ?", number)), None)

    def latest(self, limit: int, *, past: bool = False) -> list[Flood]:
        """Give those in force, the newest first; with *past* the others too."""
        which = "1" if past else "ruling IN ('open', 'stand-down')"
        return self._read(f"{which} ORDER BY id DESC LIMIT ?", limit)

    def open(self, subject: Subject, most: int, now: float) -> Flood:
        """Record that a limit was reached."""
        with self._database.transaction() as writer:
            number = writer.execute(
                "INSERT INTO floods (scope, root, subject, most, began, ruling, who, reason)"
                " VALUES (?, ?, ?, ?, ?, 'open', '', '')",
                (subject.scope, subject.root, subject.of, most, now),
            ).lastrowid
        assert number is not None
        return Flood(number, subject, most, now)

    def rule(self, flood: int, ruling: Ruling, now: float, who: str, reason: str) -> None:
        """Record what somebody has ruled."""
        with self._database.transaction() as writer:
            writer.execute(
                "UPDATE floods SET ruling = ?, ruled = ?, who = ?, reason = ? WHERE id = ?",
                (ruling, now, who, reason, flood),
            )

    def _read(self, which: str, *values: object) -> list[Flood]:
        with self._database.reading() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM floods WHERE {which}",  # noqa: S608  # our own constants
                values,
            ).fetchall()
        return [
            Flood(number, Subject(Scope(scope), root, of), most, began, Ruling(ruling), *rest)
            for number, scope, root, of, most, began, ruling, *rest in rows
        ]
