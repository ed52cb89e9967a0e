"""Cases: one for each content that matched, and what people wrote about it.

What speaks for a case: who knows the content, from where, by which signals, how near.

Kept with the values of the signals, told without them: where a value is equal, it is an entry
of a list that nobody may spread.  There is no content in it, and no way to one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from hashwacht.core.types import Match, Outcome, Signal, Verdict
from hashwacht.storage.sqlite.database import Database
from hashwacht.storage.sqlite.encoding import decode_text, encode_text

MAX_MATCHES = 200
"""Matches kept of each sort: a service may answer with thousands."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """*matches* hold today, *withdrawn* held once; *suppressed* were set aside by known-good ones.

    *outcome* is what was last known; UNDETERMINED never replaces a match.
    """

    outcome: Outcome
    matches: tuple[Match, ...] = ()
    withdrawn: tuple[Match, ...] = ()
    suppressed: tuple[Match, ...] = ()
    suppressed_by: tuple[Match, ...] = ()

    @classmethod
    def from_verdict(cls, verdict: Verdict, former: Evidence | None = None) -> Evidence:
        """Take in a verdict; what *former* knew is not forgotten."""
        if former is not None and verdict.outcome is Outcome.UNDETERMINED:
            return former
        known = () if former is None else (*former.matches, *former.withdrawn)
        matches = _first(verdict.matches)
        return cls(
            verdict.outcome,
            matches,
            _first(match for match in known if match not in matches),
            _first(verdict.suppressed),
            _first(verdict.suppressed_by),
        )

    def dumps(self) -> str:
        """Write it for the state, values and all."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def loads(cls, text: str) -> Evidence:
        """Read what ``dumps`` wrote."""
        fields = json.loads(text)
        outcome = Outcome(fields.pop("outcome"))
        return cls(outcome, **{name: _matches(each) for name, each in fields.items()})

    def to_json(self, most: int = MAX_MATCHES) -> dict[str, Any]:
        """Tell it, without values; at most so many matches of each sort, with their number."""
        fields: dict[str, Any] = {"outcome": self.outcome}
        for name in ("matches", "withdrawn", "suppressed", "suppressed_by"):
            found: tuple[Match, ...] = getattr(self, name)
            if found or name == "matches":
                fields[name] = [match_to_json(each) for each in found[:most]]
            if len(found) > most:
                fields[f"{name}_total"] = len(found)
        return fields


def match_to_json(match: Match) -> dict[str, Any]:
    """Tell a match; *distance* is null if the matcher tells none.  Without the value."""
    signal = signal_to_json(match.signal)
    del signal["value"]
    return {
        "matcher": match.matcher,
        "list": match.list,
        "id": match.id,
        "category": match.category,
        "signal": signal,
        "distance": match.distance,
    }


def signal_to_json(signal: Signal) -> dict[str, Any]:
    """Tell a signal."""
    fields: dict[str, Any] = {"type": signal.type, "value": signal.value}
    if signal.quality is not None:
        fields["quality"] = signal.quality
    if signal.variant:
        fields["variant"] = signal.variant
    return fields


def _first(matches: Iterable[Match]) -> tuple[Match, ...]:
    return tuple(dict.fromkeys(matches))[:MAX_MATCHES]


def _matches(rows: Iterable[Mapping[str, Any]]) -> tuple[Match, ...]:
    return tuple(Match(**{**row, "signal": Signal(**row["signal"])}) for row in rows)


class CaseState(StrEnum):
    """How a case stands."""

    OPEN = "open"
    """Somebody has to decide."""
    RELEASED = "released"
    """Somebody decided that this content is left alone, wherever it is."""
    CLOSED = "closed"
    """Somebody has dealt with it; found again, it is open again."""
    SUPPRESSED = "suppressed"
    """A known-good list set the match aside: recorded, nothing is to be done."""


@dataclass(frozen=True, slots=True)
class Case:
    """A case; *id* is 0 until it is added.

    *key* is the SHA-256 of the content; times are Unix seconds.
    """

    id: int
    key: str
    size: int
    kind: str
    state: CaseState
    opened: float
    updated: float
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Note:
    """What somebody wrote, and when (Unix seconds)."""

    at: float
    author: str
    text: str


_COLUMNS = "id, key, size, kind, state, opened, updated, evidence"


class Cases:
    """All cases."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load_by_key(self, key: str) -> Case | None:
        """Give the case of a content."""
        return next(self._read("key = ?", bytes.fromhex(key)), None)

    def load(self, number: int) -> Case | None:
        """Give one by its number."""
        return next(self._read("id = ?", number), None)

    def load_latest(
        self,
        limit: int,
        *,
        state: CaseState | None = None,
        root: str = "",
        since: float = 0.0,
        sealed_before: float | None = None,
    ) -> list[Case]:
        """Give cases, the newest first, that are as all of what is given says.

        *root*: found there; *since*: changed since then; *sealed_before*: with a sealed file
        that was acted upon before that moment.
        """
        which: list[str] = ["updated >= ?"]
        values: list[object] = [since]
        if state is not None:
            which.append("state = ?")
            values.append(state)
        if root:
            which.append("EXISTS (SELECT 1 FROM places WHERE places.key = cases.key AND root = ?)")
            values.append(root)
        if sealed_before is not None:
            which.append(
                "key IN (SELECT key FROM places WHERE state = 'quarantined' AND acted < ?)"
            )
            values.append(sealed_before)
        return [*self._read(f"{' AND '.join(which)} ORDER BY id DESC LIMIT ?", *values, limit)]

    def count_by_state(self) -> dict[CaseState, int]:
        """Say how many there are in each state."""
        with self._database.read_connection() as connection:
            rows = connection.execute("SELECT state, count(*) FROM cases GROUP BY state")
            return {CaseState(state): number for state, number in rows.fetchall()}

    def record(self, case: Case) -> Case:
        """Keep a case as it is now: state, evidence, time; add it if it has no number yet."""
        evidence = case.evidence.dumps()
        with self._database.transaction() as writer:
            if case.id:
                writer.execute(
                    "UPDATE cases SET state = ?, updated = ?, evidence = ? WHERE id = ?",
                    (case.state, case.updated, evidence, case.id),
                )
                return case
            row = (case.size, case.kind, case.state, case.opened, case.updated, evidence)
            number = writer.execute(
                "INSERT INTO cases (key, size, kind, state, opened, updated, evidence)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (bytes.fromhex(case.key), *row),
            ).lastrowid
        assert number is not None
        return replace(case, id=number)

    def record_note(self, case: int, now: float, who: str, text: str) -> None:
        """Add what somebody wrote."""
        with self._database.transaction() as writer:
            writer.execute(
                'INSERT INTO notes ("case", at, who, text) VALUES (?, ?, ?, ?)',
                (case, now, encode_text(who), encode_text(text)),
            )
            writer.execute("UPDATE cases SET updated = ? WHERE id = ?", (now, case))

    def load_notes(self, case: int, limit: int) -> list[Note]:
        """Give what was written about a case, the newest *limit*, the oldest of them first."""
        with self._database.read_connection() as connection:
            rows = connection.execute(
                'SELECT at, who, text FROM notes WHERE "case" = ? ORDER BY id DESC LIMIT ?',
                (case, limit),
            ).fetchall()
        return [Note(at, decode_text(who), decode_text(text)) for at, who, text in reversed(rows)]

    def _read(self, which: str, *values: object) -> Iterator[Case]:
        with self._database.read_connection() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM cases WHERE {which}",  # noqa: S608  # our own constants
                values,
            ).fetchall()
        for number, key, size, kind, state, opened, updated, evidence in rows:
            yield Case(
                number,
                key.hex(),
                size,
                kind,
                CaseState(state),
                opened,
                updated,
                Evidence.loads(evidence),
            )
