"""Contents: what was fingerprinted once, wherever it lies, and what is known of it.

What two fingerprints of the same bytes say together.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from hashwacht.core.types import Answer, Fingerprint, Outcome, Reason, Verdict
from hashwacht.storage.answers import invalidate_answers, load_answers
from hashwacht.storage.sqlite.database import Database
from hashwacht.storage.sqlite.encoding import OUTCOMES


def merge_fingerprints(former: Fingerprint, fresh: Fingerprint) -> Fingerprint:
    """Bring a stored fingerprint up to date with a fresh one of the same content.

    What the fresh recipe covers is replaced, what it does not cover is kept.  One exception:
    if a signal type failed wholly this time (a limit, a dead worker) and the same version of
    it succeeded before, those signals are kept, for the bytes are the same.
    """
    kept = _kept_types(former, fresh)
    return replace(
        fresh,
        recipe=tuple(
            dict.fromkeys(
                (*fresh.recipe, *(entry for entry in former.recipe if _type(entry) in kept))
            )
        ),
        signals=(
            *(signal for signal in fresh.signals if signal.type not in kept),
            *(signal for signal in former.signals if signal.type in kept),
        ),
        skipped=(
            *(skip for skip in fresh.skipped if skip.type not in kept),
            *(skip for skip in former.skipped if skip.type in kept),
        ),
    )


def queryable_types(fingerprint: Fingerprint) -> tuple[str, ...]:
    """Return the types of which this fingerprint has a signal to ask, in order."""
    return tuple(sorted({signal.type for signal in fingerprint.signals if signal.matchable}))


def _kept_types(former: Fingerprint, fresh: Fingerprint) -> frozenset[str]:
    """Name the signal types for which the former fingerprint stays the better source."""
    covered = {_type(entry) for entry in fresh.recipe}
    failed = {skip.type for skip in fresh.skipped if skip.reason.undetermined}
    failed -= {signal.type for signal in fresh.signals}
    hashed = {signal.type for signal in former.signals}
    same_version = {_type(entry) for entry in set(former.recipe) & set(fresh.recipe)}
    uncovered = {_type(entry) for entry in former.recipe} - covered
    return frozenset(uncovered | (failed & hashed & same_version))


def _type(entry: str) -> str:
    """Take the signal type of a recipe's entry: ``pdq`` of ``pdq/1``."""
    return entry.partition("/")[0]


@dataclass(frozen=True, slots=True)
class StoredContent:
    """A content with its fingerprint, its dated answers and the verdict last decided.

    *outcome* and *reason* are None until decided, and again when new signals came.  Times
    are Unix seconds; *first_match_at* is when a matcher first said MATCH, and stays when it
    later says otherwise.
    """

    id: int
    fingerprint: Fingerprint
    answers: tuple[Answer, ...]
    first_seen: float
    first_match_at: float | None = None
    outcome: Outcome | None = None
    reason: Reason | None = None
    knowledge_id: int | None = None
    asked_at: float | None = None


@dataclass(frozen=True, slots=True)
class StoredVerdict:
    """A verdict on a content, and how long it can stand unasked.

    *epoch* is the one it was decided in; None if it shall be looked at again every time.
    *asked_at* (Unix seconds) is the date of the oldest answer it rests on that ages.
    """

    content: int
    verdict: Verdict
    knowledge_id: int | None
    asked_at: float | None


class Contents:
    """All contents ever fingerprinted."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load_ids(self, keys: Iterable[str]) -> dict[str, int]:
        """Return the numbers of those contents that are known, by key."""
        with self._database.read_connection() as connection:
            found = ((key, _find(connection, key)) for key in keys)
            return {key: number for key, number in found if number is not None}

    def record(self, fingerprints: Sequence[Fingerprint], now: float) -> dict[str, int]:
        """Record fingerprints and return the numbers of their contents, by key.

        A content that is known already is upgraded: see :func:`merging.merged`.  If that
        brings signals to ask that were not there before, its former answers no longer hold:
        it is undecided again, and stale.
        """
        numbers: dict[str, int] = {}
        with self._database.transaction() as writer:
            (following,) = writer.execute("SELECT ifnull(max(id), 0) + 1 FROM contents").fetchone()
            for fresh in fingerprints:
                number = _find(writer, fresh.key)
                if number is None:
                    number, following = following, following + 1
                    self._insert(writer, number, fresh, now)
                else:
                    self._upgrade(writer, number, fresh)
                numbers[fresh.key] = number
        return numbers

    def _insert(
        self, writer: sqlite3.Connection, number: int, fresh: Fingerprint, now: float
    ) -> None:
        database = self._database
        writer.execute(
            "INSERT INTO contents (id, recipe, signal_set) VALUES (?, ?, ?)",
            (
                number,
                database.recipes.number(writer, " ".join(fresh.recipe)),
                database.signal_sets.number(writer, " ".join(queryable_types(fresh))),
            ),
        )
        writer.execute(
            "INSERT INTO fingerprints VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                number,
                bytes.fromhex(fresh.key),
                fresh.size,
                database.words.number(writer, fresh.kind),
                fresh.damaged,
                now,
                database.packer.signals(writer, fresh.signals, fresh.key),
                database.packer.skips(writer, fresh.skipped),
            ),
        )

    def _upgrade(self, writer: sqlite3.Connection, number: int, fresh: Fingerprint) -> None:
        database = self._database
        former = self._fingerprint(writer, number)
        better = merge_fingerprints(former, fresh)
        if better == former:
            return
        writer.execute(
            "UPDATE contents SET recipe = ?, signal_set = ? WHERE id = ?",
            (
                database.recipes.number(writer, " ".join(better.recipe)),
                database.signal_sets.number(writer, " ".join(queryable_types(better))),
                number,
            ),
        )
        writer.execute(
            "UPDATE fingerprints SET kind = ?, damaged = ?, signals = ?, skips = ?"
            " WHERE content = ?",
            (
                database.words.number(writer, better.kind),
                better.damaged,
                database.packer.signals(writer, better.signals, better.key),
                database.packer.skips(writer, better.skipped),
                number,
            ),
        )
        _undecide(database, writer, number, former, better)

    def load(self, numbers: Iterable[int]) -> dict[int, StoredContent]:
        """Return these contents with their answers, by number; unknown numbers are left out."""
        with self._database.snapshot() as connection:
            found = ((number, self._load(connection, number)) for number in numbers)
            return {number: content for number, content in found if content is not None}

    def _load(self, connection: sqlite3.Connection, number: int) -> StoredContent | None:
        row = connection.execute(
            "SELECT c.outcome, c.reason, c.epoch, c.asked_at, p.first_seen,"
            " (SELECT min(first_match_at) FROM answers WHERE content = c.id)"
            " FROM contents AS c JOIN fingerprints AS p ON p.content = c.id WHERE c.id = ?",
            (number,),
        ).fetchone()
        if row is None:
            return None
        outcome, reason, epoch, asked_at, first_seen, first_match_at = row
        return StoredContent(
            number,
            self._fingerprint(connection, number),
            load_answers(self._database, connection, number),
            first_seen,
            first_match_at,
            None if outcome is None else OUTCOMES[outcome],
            None if reason is None else Reason(self._database.words.text(connection, reason)),
            epoch,
            asked_at,
        )

    def _fingerprint(self, connection: sqlite3.Connection, number: int) -> Fingerprint:
        database = self._database
        raw, size, kind, damaged, signals, skips, recipe = connection.execute(
            "SELECT p.key, p.size, p.kind, p.damaged, p.signals, p.skips, c.recipe"
            " FROM fingerprints AS p JOIN contents AS c ON c.id = p.content WHERE c.id = ?",
            (number,),
        ).fetchone()
        key = raw.hex()
        return Fingerprint(
            key,
            size,
            database.words.text(connection, kind),
            database.recipes.names(connection, recipe),
            database.packer.read_signals(connection, signals, key),
            database.packer.read_skips(connection, skips),
            bool(damaged),
        )

    def record_verdicts(self, decisions: Iterable[StoredVerdict]) -> None:
        """Keep verdicts where an unchanged file finds them without a further query."""
        with self._database.transaction() as writer:
            for each in decisions:
                reason = each.verdict.reason
                writer.execute(
                    "UPDATE contents SET outcome = ?, reason = ?, epoch = ?, asked_at = ?"
                    " WHERE id = ?",
                    (
                        OUTCOMES.index(each.verdict.outcome),
                        None if reason is None else self._database.words.number(writer, reason),
                        each.knowledge_id,
                        each.asked_at,
                        each.content,
                    ),
                )


def _find(connection: sqlite3.Connection, key: str) -> int | None:
    """Find a content by the index over the first bytes of its key."""
    raw = bytes.fromhex(key)
    row = connection.execute(
        "SELECT content FROM fingerprints WHERE substr(key, 1, 8) = ? AND key = ?", (raw[:8], raw)
    ).fetchone()
    return None if row is None else row[0]


def _undecide(
    database: Database,
    writer: sqlite3.Connection,
    number: int,
    former: Fingerprint,
    better: Fingerprint,
) -> None:
    """Take back the verdict; and the answers too, if there is now more to ask."""
    writer.execute(
        "UPDATE contents SET outcome = NULL, reason = NULL, epoch = NULL, asked_at = NULL"
        " WHERE id = ?",
        (number,),
    )
    if {s for s in better.signals if s.matchable} - set(former.signals):
        invalidate_answers(database, writer, number)
