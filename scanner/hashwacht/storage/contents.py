"""Contents: one row per distinct SHA-256, with its fingerprint and its last verdict.

A file with known bytes adds no content: its new fingerprint is merged with the stored one.

The *crash log* names contents that ended the workers decoding them, so that retries are bounded.
Crashes are counted for each decoder, that is, for each version of the libraries.  (Table
``culprits``.)
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

from hashwacht.core.ports import MAX_CRASHES
from hashwacht.core.types import Answer, Fingerprint, Outcome, Reason, Verdict
from hashwacht.storage.answers import invalidate_answers, load_answers
from hashwacht.storage.sqlite.database import Database, DatabaseTable
from hashwacht.storage.sqlite.encoding import OUTCOMES


def merge_fingerprints(former: Fingerprint, fresh: Fingerprint) -> Fingerprint:
    """Return a stored fingerprint updated with a fresh one of the same content.

    Signals of the types in the fresh recipe are replaced, others are kept.  One exception: if a
    signal type failed completely this time (a limit, a dead worker) and the same version of it
    succeeded before, its former signals are kept, because the bytes are the same.
    """
    kept = _kept_types(former, fresh)
    recipe = (*fresh.recipe, *(entry for entry in former.recipe if _type(entry) in kept))
    return replace(
        fresh,
        size=former.size,
        recipe=tuple(dict.fromkeys(recipe)),
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
    """Return the signal types that a matcher can be asked about, sorted."""
    return tuple(sorted({signal.type for signal in fingerprint.signals if signal.matchable}))


def _kept_types(former: Fingerprint, fresh: Fingerprint) -> frozenset[str]:
    covered = {_type(entry) for entry in fresh.recipe}
    failed = {skip.type for skip in fresh.skipped if skip.reason.undetermined}
    failed -= {signal.type for signal in fresh.signals}
    hashed = {signal.type for signal in former.signals}
    same_version = {_type(entry) for entry in set(former.recipe) & set(fresh.recipe)}
    uncovered = {_type(entry) for entry in former.recipe} - covered
    return frozenset(uncovered | (failed & hashed & same_version))


def _type(entry: str) -> str:
    """Return the signal type of a recipe entry: ``pdq`` for ``pdq/1``."""
    return entry.partition("/")[0]


@dataclass(frozen=True, slots=True)
class StoredContent:
    """A content with its fingerprint, its dated answers and its last verdict.

    *outcome* and *reason* are None until a verdict is recorded, and again when new signals are
    added.  Times are Unix seconds; *first_match_at* is the time of the first MATCH and stays
    when a later answer withdraws it.
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
    """A verdict on a content, and how long it holds without another lookup.

    *knowledge_id* identifies what the matchers knew; None if the content has to be judged again
    in every run.  *asked_at* (Unix seconds) is the date of the oldest answer that can expire.
    """

    content: int
    verdict: Verdict
    knowledge_id: int | None
    asked_at: float | None


_LOAD = """
    SELECT f.key, f.size, f.kind, f.damaged, f.signals, f.skips, f.first_seen,
    (SELECT min(first_match_at) FROM answers WHERE content = c.id),
    c.recipe, c.outcome, c.reason, c.epoch, c.asked_at
    FROM contents AS c JOIN fingerprints AS f ON f.content = c.id WHERE c.id = ?"""


class Contents(DatabaseTable):
    """All contents that have a fingerprint."""

    def load_ids(self, keys: Iterable[str]) -> dict[str, int]:
        """Return the numbers of the known contents, by key."""
        with self._database.read_connection() as connection:
            ids = ((key, _load_id(connection, key)) for key in keys)
            return {key: number for key, number in ids if number is not None}

    def existing(self, numbers: Iterable[int]) -> set[int]:
        """Return which of these contents are still stored: those of old uploads are removed."""
        query = "SELECT 1 FROM contents WHERE id = ?"
        with self._database.read_connection() as connection:
            return {n for n in numbers if connection.execute(query, (n,)).fetchone()}

    def load(self, numbers: Iterable[int]) -> dict[int, StoredContent]:
        """Return these contents with their answers, by number; unknown numbers are left out."""
        with self._database.snapshot() as connection:
            contents = (self._load(connection, number) for number in numbers)
            return {content.id: content for content in contents if content is not None}

    def record(self, fingerprints: Iterable[Fingerprint], now: float) -> dict[str, StoredContent]:
        """Record fingerprints and return their contents by key, so that none has to be loaded.

        The fingerprint of a known content is merged with the stored one.  If that adds signals to
        ask about, the former answers no longer cover the content: it has no verdict and is stale.
        """
        contents: dict[str, StoredContent] = {}
        added: dict[str, StoredContent] = {}
        with self._database.transaction() as writer:
            (first,) = writer.execute("SELECT ifnull(max(id), 0) + 1 FROM contents").fetchone()
            for fresh in fingerprints:
                key = fresh.key
                if (content := added.get(key)) is not None:
                    merged = merge_fingerprints(content.fingerprint, fresh)
                    added[key] = replace(content, fingerprint=merged)
                elif (number := _load_id(writer, key)) is not None:
                    contents[key] = self._merge(writer, number, fresh)
                else:
                    added[key] = StoredContent(first + len(added), fresh, (), now)
            self._insert(writer, added.values())
        return contents | added

    def _insert(self, writer: sqlite3.Connection, contents: Collection[StoredContent]) -> None:
        writer.executemany(
            "INSERT INTO contents (id, recipe, signal_set) VALUES (?, ?, ?)",
            [(content.id, *self._type_row(writer, content.fingerprint)) for content in contents],
        )
        writer.executemany(
            "INSERT INTO fingerprints (content, key, size, kind, damaged, signals, skips,"
            " first_seen) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (content.id, *self._signal_row(writer, content.fingerprint), content.first_seen)
                for content in contents
            ],
        )

    def _merge(self, writer: sqlite3.Connection, number: int, fresh: Fingerprint) -> StoredContent:
        stored = self._load(writer, number)
        assert stored is not None
        former = stored.fingerprint
        merged = merge_fingerprints(former, fresh)
        if merged == former:
            return stored
        writer.execute(
            "UPDATE contents SET recipe = ?, signal_set = ?,"
            " outcome = NULL, reason = NULL, epoch = NULL, asked_at = NULL WHERE id = ?",
            (*self._type_row(writer, merged), number),
        )
        writer.execute(
            "UPDATE fingerprints SET kind = ?, damaged = ?, signals = ?, skips = ?"
            " WHERE content = ?",
            (*self._signal_row(writer, merged)[2:], number),  # key and size stay
        )
        if {signal for signal in merged.signals if signal.matchable} - set(former.signals):
            invalidate_answers(self._database, writer, number)
        updated = self._load(writer, number)
        assert updated is not None
        return updated

    def _type_row(self, writer: sqlite3.Connection, fingerprint: Fingerprint) -> tuple[int, int]:
        """Return *recipe* and *signal_set*, columns of the narrow table."""
        return (
            self._database.recipes.intern(writer, " ".join(fingerprint.recipe)),
            self._database.signal_sets.intern(writer, " ".join(queryable_types(fingerprint))),
        )

    def _signal_row(
        self, writer: sqlite3.Connection, fingerprint: Fingerprint
    ) -> tuple[bytes, int, int, bool, bytes, bytes | None]:
        """Return key, size, kind, damaged, signals and skips, columns of the wide table."""
        packer = self._database.packer
        return (
            bytes.fromhex(fingerprint.key),
            fingerprint.size,
            self._database.words.intern(writer, fingerprint.kind),
            fingerprint.damaged,
            packer.pack_signals(writer, fingerprint.signals, fingerprint.key),
            packer.pack_skips(writer, fingerprint.skipped),
        )

    def _load(self, connection: sqlite3.Connection, number: int) -> StoredContent | None:
        row = connection.execute(_LOAD, (number,)).fetchone()
        if row is None:
            return None
        raw, size, kind, damaged, signals, skips, first_seen, first_match_at, *verdict = row
        recipe, outcome, reason, knowledge_id, asked_at = verdict
        database, key = self._database, raw.hex()
        fingerprint = Fingerprint(
            key,
            size,
            database.words.text(connection, kind),
            database.recipes.names(connection, recipe),
            database.packer.unpack_signals(connection, signals, key),
            database.packer.unpack_skips(connection, skips),
            bool(damaged),
        )
        return StoredContent(
            number,
            fingerprint,
            load_answers(database, connection, number),
            first_seen,
            first_match_at,
            None if outcome is None else OUTCOMES[outcome],
            None if reason is None else Reason(database.words.text(connection, reason)),
            knowledge_id,
            asked_at,
        )

    def record_verdicts(self, verdicts: Iterable[StoredVerdict]) -> None:
        """Record verdicts in the narrow table, where an unchanged file is looked up."""
        words = self._database.words
        with self._database.transaction() as writer:
            rows = []
            for stored in verdicts:
                outcome, reason = OUTCOMES.index(stored.verdict.outcome), stored.verdict.reason
                word = None if reason is None else words.intern(writer, reason)
                rows.append((outcome, word, stored.knowledge_id, stored.asked_at, stored.content))
            writer.executemany(
                "UPDATE contents SET outcome = ?, reason = ?, epoch = ?, asked_at = ? WHERE id = ?",
                rows,
            )


def _load_id(connection: sqlite3.Connection, key: str) -> int | None:
    """Return the number of a content, found by the index over the first bytes of its key."""
    raw = bytes.fromhex(key)
    row = connection.execute(
        "SELECT content FROM fingerprints WHERE substr(key, 1, 8) = ? AND key = ?", (raw[:8], raw)
    ).fetchone()
    return None if row is None else row[0]


class StoredCrashLog:
    """A :class:`hashwacht.core.ports.CrashLog` that survives restarts."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database, self._clock, self._decoder = database, clock, ""

    def set_decoder(self, decoder: str) -> None:
        """Set the decoder in use; crashes of other decoders do not count."""
        self._decoder = decoder

    def block_reason(self, key: str) -> Reason | None:
        """Return the reason if a content has crashed this decoder too often."""
        return self._load("c.key = ?", bytes.fromhex(key))

    def is_blocked_content(self, content: int) -> bool:
        """Return whether a stored content, by number, is blocked."""
        where = "c.key = (SELECT key FROM fingerprints WHERE content = ?)"
        return self._load(where, content) is not None

    def _load(self, where: str, value: bytes | int) -> Reason | None:
        row = self._database.fetch_one(
            "SELECT r.text FROM culprits AS c JOIN words AS d ON d.id = c.decoder"  # noqa: S608 - both are our own
            " JOIN words AS r ON r.id = c.reason"
            f" WHERE {where} AND d.text = ? AND c.times >= ?",
            (value, self._decoder, MAX_CRASHES),
        )
        return None if row is None else Reason(row[0])

    def record_crash(self, key: str, reason: Reason) -> None:
        """Record one more crash."""
        words = self._database.words
        with self._database.transaction() as writer:
            decoder = words.intern(writer, self._decoder)
            writer.execute(
                "INSERT INTO culprits VALUES (?, ?, 1, ?, ?) ON CONFLICT (key, decoder) DO UPDATE"
                " SET times = times + 1, reason = excluded.reason, last = excluded.last",
                (bytes.fromhex(key), decoder, words.intern(writer, reason), self._clock()),
            )
