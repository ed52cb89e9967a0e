"""Contents that nobody has answered for: who waits for a service that is out of reach.

They are asked by their stored signals, uploads first, in the order in which they came.  The place
where each was found is kept with it: the file may be gone when the answer comes.

Which contents lack an answer that is good enough today, as one query.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from hashwacht.core.watch_events import Lane
from hashwacht.storage.sqlite.database import Database
from hashwacht.storage.sqlite.encoding import NO_MATCH, UNDETERMINED


class AnswerRequirement(NamedTuple):
    """What an answer of one matcher must be to be good enough today.

    *revision* is the matcher's present one, *not_before* (Unix seconds) the oldest date that
    still counts, *accepts* the signal types it judges: a content that has none of them needs
    no answer of it.  None: it judges all.
    """

    revision: str
    not_before: float
    accepts: frozenset[str] | None = None


_UNKNOWN = 0
"""No word has this number: a matcher or revision that no answer names yet."""

_QUERY = f"""
    WITH wanted (signal_set, matcher, revision, not_before) AS (VALUES {{rows}})
    SELECT {{columns}} FROM contents AS c
    WHERE c.id > ?
    AND ifnull(c.epoch = ? AND c.outcome = {NO_MATCH} AND c.asked_at >= ?, 0) = 0
    AND EXISTS (
        SELECT 1 FROM wanted AS w WHERE w.signal_set = c.signal_set AND NOT EXISTS (
            SELECT 1 FROM answers AS a
            WHERE a.content = c.id AND a.matcher = w.matcher AND a.revision = w.revision
            AND a.asked_at >= w.not_before AND a.outcome <> {UNDETERMINED}))
    {{tail}}"""  # noqa: S608  # our own constants


@dataclass(frozen=True, slots=True)
class StaleQuery:
    """The question put to a database: what is wanted, and which epoch describes that."""

    wanted: Mapping[str, AnswerRequirement]
    epoch: int | None

    def numbers(self, database: Database, after: int, limit: int) -> list[int]:
        """Return up to *limit* stale contents above *after*, ascending."""
        rows = self._ask(database, "c.id", "ORDER BY c.id LIMIT ?", (after,), (limit,))
        return [number for (number,) in rows]

    def count(self, database: Database, after: int) -> int:
        """Return how many stale contents there are above *after*."""
        rows = self._ask(database, "count(*)", "", (after,), ())
        return int(rows[0][0]) if rows else 0

    def _ask(
        self,
        database: Database,
        columns: str,
        tail: str,
        before: tuple[int, ...],
        behind: tuple[int, ...],
    ) -> list[tuple[int]]:
        with database.snapshot() as connection:
            wanted = self._rows(database, connection)
            if not wanted:
                return []
            query = _QUERY.format(
                rows=", ".join(["(?, ?, ?, ?)"] * len(wanted)), columns=columns, tail=tail
            )
            values = [value for row in wanted for value in row]
            floor = max(each.not_before for each in self.wanted.values())
            found: list[tuple[int]] = connection.execute(
                query, (*values, *before, self.epoch, floor, *behind)
            ).fetchall()
            return found

    def _rows(
        self, database: Database, connection: sqlite3.Connection
    ) -> list[tuple[int, int, int, float]]:
        """Say per set of signal types, of which there are few, whose answer it needs."""
        words = database.words
        return [
            (
                number,
                words.find(connection, matcher) or _UNKNOWN,
                words.find(connection, want.revision) or _UNKNOWN,
                want.not_before,
            )
            for number, types in database.signal_sets.all(connection).items()
            for matcher, want in self.wanted.items()
            if types and (want.accepts is None or want.accepts & set(types.split()))
        ]


@dataclass(frozen=True, slots=True)
class PendingContent:
    """A content by its number, since when (Unix seconds) it waits, and one place of it."""

    content: int
    lane: Lane
    since: float
    root: str
    path: bytes


class PendingContents:
    """All contents that wait for an answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, rows: Iterable[PendingContent]) -> None:
        """Let contents wait; one that waits already keeps its place, or gets a better lane."""
        with self._database.transaction() as writer:
            writer.executemany(
                "INSERT INTO unanswered VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (content) DO UPDATE SET lane = min(lane, excluded.lane)",
                [(each.content, each.lane, each.since, each.root, each.path) for each in rows],
            )

    def remove(self, contents: Iterable[int]) -> None:
        """Let these wait no more."""
        with self._database.transaction() as writer:
            writer.executemany(
                "DELETE FROM unanswered WHERE content = ?", [(each,) for each in contents]
            )

    def load_next(self, limit: int, after: PendingContent | None = None) -> list[PendingContent]:
        """Return up to *limit* of those who wait, behind *after*: uploads first, then by age."""
        key = (after.lane, after.since, after.content) if after else (-1, 0.0, 0)
        with self._database.read_connection() as connection:
            rows = connection.execute(
                "SELECT content, lane, since, root, path FROM unanswered"
                " WHERE (lane, since, content) > (?, ?, ?)"
                " ORDER BY lane, since, content LIMIT ?",
                (*key, limit),
            ).fetchall()
        return [PendingContent(content, Lane(lane), *rest) for content, lane, *rest in rows]

    def load(self, contents: Collection[int]) -> dict[int, PendingContent]:
        """Return those of these contents that wait, by number."""
        with self._database.snapshot() as connection:
            rows = [
                connection.execute(
                    "SELECT content, lane, since, root, path FROM unanswered WHERE content = ?",
                    (content,),
                ).fetchone()
                for content in contents
            ]
        found = [PendingContent(row[0], Lane(row[1]), *row[2:]) for row in rows if row]
        return {each.content: each for each in found}

    def count(self) -> int:
        """Count those who wait."""
        with self._database.read_connection() as connection:
            (number,) = connection.execute("SELECT count(*) FROM unanswered").fetchone()
        return int(number)
