"""Pending contents: those that wait until an unavailable matcher answers.

They are looked up by their stored signals, uploads first, then by age.  One path of each content
is kept with it: the file may be gone when the answer arrives.  (Table ``unanswered``.)
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from hashwacht.core.watch_events import Lane
from hashwacht.storage.sqlite.database import Database

_SELECT = "SELECT content, lane, since, root, path FROM unanswered"


@dataclass(frozen=True, slots=True)
class PendingContent:
    """A content by its number, since when (Unix seconds) it waits, and one path of it."""

    content: int
    lane: Lane
    since: float
    root: str
    path: bytes


class PendingContents:
    """All contents that wait for an answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, contents: Iterable[PendingContent]) -> None:
        """Add contents; one that waits already keeps its age and path, and the better lane."""
        self._database.executemany(
            "INSERT INTO unanswered VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (content) DO UPDATE SET lane = min(lane, excluded.lane)",
            [
                (pending.content, pending.lane, pending.since, pending.root, pending.path)
                for pending in contents
            ],
        )

    def remove(self, contents: Iterable[int]) -> None:
        """Remove contents, by number."""
        self._database.executemany(
            "DELETE FROM unanswered WHERE content = ?", [(content,) for content in contents]
        )

    def load_next(self, limit: int, after: PendingContent | None = None) -> list[PendingContent]:
        """Return up to *limit* contents behind *after*: uploads first, then by age."""
        key = (after.lane, after.since, after.content) if after else (-1, 0.0, 0)
        rows = self._database.fetch_all(
            f"{_SELECT} WHERE (lane, since, content) > (?, ?, ?)"
            " ORDER BY lane, since, content LIMIT ?",
            (*key, limit),
        )
        return [PendingContent(content, Lane(lane), *rest) for content, lane, *rest in rows]

    def load(self, contents: Collection[int]) -> dict[int, PendingContent]:
        """Return those of these contents that wait, by number."""
        with self._database.snapshot() as connection:
            rows = [
                connection.execute(f"{_SELECT} WHERE content = ?", (content,)).fetchone()
                for content in contents
            ]
        return {row[0]: PendingContent(row[0], Lane(row[1]), *row[2:]) for row in rows if row}

    def count(self) -> int:
        """Return how many contents wait."""
        (number,) = self._database.fetch_one("SELECT count(*) FROM unanswered")
        return int(number)
