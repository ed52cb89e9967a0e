"""Cases: one for each content that matched, with its evidence and the notes about it.

Evidence is stored with the values of the matched signals and displayed without them: the value of
an exact match is an entry of a list that must not be disclosed.  It never holds any content.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from hashwacht.core.types import Match, Outcome, Signal, Verdict
from hashwacht.storage.sqlite.database import DatabaseTable
from hashwacht.storage.sqlite.encoding import decode_text, encode_text

MAX_MATCHES = 200
"""Most matches stored of each sort: a service may answer with thousands."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The matches of a case.

    *matches* are current, *withdrawn* former ones; *suppressed* ones were set aside by the
    known-good ones in *suppressed_by*.  *outcome* is the last one; UNDETERMINED never replaces a
    match.
    """

    outcome: Outcome
    matches: tuple[Match, ...] = ()
    withdrawn: tuple[Match, ...] = ()
    suppressed: tuple[Match, ...] = ()
    suppressed_by: tuple[Match, ...] = ()

    @classmethod
    def from_verdict(cls, verdict: Verdict, former: Evidence | None = None) -> Evidence:
        """Return the evidence of a verdict; matches of *former* are kept as withdrawn ones."""
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
        """Return the stored JSON, including the values of signals."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def loads(cls, text: str) -> Evidence:
        """Return the evidence in JSON written by :meth:`dumps`."""
        fields = json.loads(text)
        outcome = Outcome(fields.pop("outcome"))
        return cls(outcome, **{name: _matches(rows) for name, rows in fields.items()})

    def to_json(self, most: int = MAX_MATCHES) -> dict[str, Any]:
        """Return JSON fields without values of signals; at most *most* matches of each sort."""
        fields: dict[str, Any] = {"outcome": self.outcome}
        for name in ("matches", "withdrawn", "suppressed", "suppressed_by"):
            matches: tuple[Match, ...] = getattr(self, name)
            if matches or name == "matches":
                fields[name] = [match_to_json(match) for match in matches[:most]]
            if len(matches) > most:
                fields[f"{name}_total"] = len(matches)
        return fields


def match_to_json(match: Match) -> dict[str, Any]:
    """Return JSON fields of a match without its value; *distance* may be null."""
    signal = signal_to_json(match.signal)
    del signal["value"]
    return {
        "matcher": match.matcher,
        "list": match.list,
        "id": match.id,
        "category": match.category,
        "signal": signal,
        "distance": match.distance,
        **({"member": match.member} if match.member else {}),
    }


def signal_to_json(signal: Signal) -> dict[str, Any]:
    """Return JSON fields of a signal."""
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
    """The state of a case."""

    OPEN = "open"
    """A decision is needed."""
    RELEASED = "released"
    """By decision, no action is taken on this content anywhere."""
    CLOSED = "closed"
    """Dealt with; the case is opened again when the content is found again."""
    SUPPRESSED = "suppressed"
    """A known-good list suppresses the match; nothing has to be done."""


@dataclass(frozen=True, slots=True)
class Case:
    """A case.  *id* is 0 until it is recorded.

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
    """A note about a case; *at* is in Unix seconds."""

    at: float
    author: str
    text: str


_COLUMNS = "id, key, size, kind, state, opened, updated, evidence"


class Cases(DatabaseTable):
    """All cases."""

    def load_by_key(self, key: str) -> Case | None:
        """Return the case of a content."""
        return next(self._load("key = ?", bytes.fromhex(key)), None)

    def load(self, number: int) -> Case | None:
        """Return the case with a number."""
        return next(self._load("id = ?", number), None)

    def load_latest(
        self,
        limit: int,
        *,
        state: CaseState | None = None,
        root: str = "",
        since: float = 0.0,
        sealed_before: float | None = None,
    ) -> list[Case]:
        """Return the newest cases first that satisfy all conditions.

        *root*: found in this root; *since*: changed since this time; *sealed_before*: with a file
        that was quarantined before this time.
        """
        conditions: list[str] = ["updated >= ?"]
        values: list[object] = [since]
        if state is not None:
            conditions.append("state = ?")
            values.append(state)
        if root:
            in_root = "EXISTS (SELECT 1 FROM places WHERE places.key = cases.key AND root = ?)"
            conditions.append(in_root)
            values.append(root)
        if sealed_before is not None:
            sealed = "key IN (SELECT key FROM places WHERE state = 'quarantined' AND acted < ?)"
            conditions.append(sealed)
            values.append(sealed_before)
        return [*self._load(f"{' AND '.join(conditions)} ORDER BY id DESC LIMIT ?", *values, limit)]

    def load_all(self) -> list[Case]:
        """Return all cases."""
        return [*self._load("1 ORDER BY id")]

    def count_by_state(self) -> dict[CaseState, int]:
        """Return how many cases there are in each state."""
        rows = self._database.fetch_all("SELECT state, count(*) FROM cases GROUP BY state")
        return {CaseState(state): number for state, number in rows}

    def record(self, case: Case) -> Case:
        """Record state, evidence and time of a case; a case without a number is added."""
        evidence = case.evidence.dumps()
        if case.id:
            self._database.execute(
                "UPDATE cases SET state = ?, updated = ?, evidence = ? WHERE id = ?",
                (case.state, case.updated, evidence, case.id),
            )
            return case
        row = (case.size, case.kind, case.state, case.opened, case.updated, evidence)
        number = self._database.insert(
            "INSERT INTO cases (key, size, kind, state, opened, updated, evidence)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (bytes.fromhex(case.key), *row),
        )
        return replace(case, id=number)

    def record_note(self, case: int, now: float, who: str, text: str) -> None:
        """Record a note about a case."""
        with self._database.transaction() as writer:
            writer.execute(
                'INSERT INTO notes ("case", at, who, text) VALUES (?, ?, ?, ?)',
                (case, now, encode_text(who), encode_text(text)),
            )
            writer.execute("UPDATE cases SET updated = ? WHERE id = ?", (now, case))

    def record_audit_head(self, seq: int, digest: str) -> None:
        """Record the newest entry of the audit log, in the transaction that it is about."""
        self._database.execute(
            "INSERT INTO audit_heads VALUES (1, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET seq = excluded.seq, hash = excluded.hash",
            (seq, digest),
        )

    def load_audit_head(self) -> tuple[int, str] | None:
        """Return number and hash of that entry; None if none was recorded yet."""
        row = self._database.fetch_one("SELECT seq, hash FROM audit_heads")
        return None if row is None else (int(row[0]), str(row[1]))

    def load_notes(self, case: int, limit: int) -> list[Note]:
        """Return the newest *limit* notes about a case, the oldest of them first."""
        rows = self._database.fetch_all(
            'SELECT at, who, text FROM notes WHERE "case" = ? ORDER BY id DESC LIMIT ?',
            (case, limit),
        )
        return [Note(at, decode_text(who), decode_text(text)) for at, who, text in reversed(rows)]

    def _load(self, condition: str, *values: object) -> Iterator[Case]:
        rows = self._database.fetch_all(f"SELECT {_COLUMNS} FROM cases WHERE {condition}", values)  # noqa: S608  # our own constants
        for number, key, size, kind, state, opened, updated, text in rows:
            evidence = Evidence.loads(text)
            yield Case(number, key.hex(), size, kind, CaseState(state), opened, updated, evidence)
