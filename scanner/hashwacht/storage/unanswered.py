"""Contents that nobody has answered for: who waits for a service that is out of reach.

They are asked by their stored signals, uploads first, in the order in which they came.  The place
where each was found is kept with it: the file may be gone when the answer comes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from hashwacht.core.watch_events import Lane
from hashwacht.storage.sqlite.database import Database


@dataclass(frozen=True, slots=True)
class Waiting:
    """A content by its number, since when (Unix seconds) it waits, and one place of it."""

    content: int
    lane: Lane
    since: float
    root: str
    path: bytes


class Unanswered:
    """All contents that wait for an answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, rows: Iterable[Waiting]) -> None:
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

    def next(self, limit: int, after: Waiting | None = None) -> list[Waiting]:
        """Return up to *limit* of those who wait, behind *after*: uploads first, then by age."""
        key = (after.lane, after.since, after.content) if after else (-1, 0.0, 0)
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT content, lane, since, root, path FROM unanswered"
                " WHERE (lane, since, content) > (?, ?, ?)"
                " ORDER BY lane, since, content LIMIT ?",
                (*key, limit),
            ).fetchall()
        return [Waiting(content, Lane(lane), *rest) for content, lane, *rest in rows]

    def of(self, contents: Collection[int]) -> dict[int, Waiting]:
        """Return those of these contents that wait, by number."""
        with self._database.snapshot() as connection:
            rows = [
                connection.execute(
                    "SELECT content, lane, since, root, path FROM unanswered WHERE content = ?",
                    (content,),
                ).fetchone()
                for content in contents
            ]
        found = [Waiting(row[0], Lane(row[1]), *row[2:]) for row in rows if row]
        return {each.content: each for each in found}

    def count(self) -> int:
        """Count those who wait."""
        with self._database.reading() as connection:
            (number,) = connection.execute("SELECT count(*) FROM unanswered").fetchone()
        return int(number)
