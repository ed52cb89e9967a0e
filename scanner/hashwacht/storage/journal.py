"""What waits for work: announced files, and contents without an answer.

The *journal* records announced files before any work on them begins.  A path has one entry.  Each
further announcement increments the entry's *generation*, so that work on an earlier announcement
does not remove a later one.  A committed transaction survives ``kill -9``; a power cut is covered
by the gap that every start opens (``gaps``).

*Pending contents* wait until an unavailable matcher answers.  They are looked up by their stored
signals, uploads first, then by age.  One path of each is kept with it: the file may be gone when
the answer arrives.  (Table ``unanswered``.)
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from hashwacht.core.watch_events import Announcement, Change, Lane
from hashwacht.storage.sqlite.database import DatabaseTable


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A path to examine, a directory if *tree*.  Times are Unix seconds.

    *closed* is true if the writing process has closed the file.  *attempts* counts how often the
    entry was postponed since it was last announced.
    """

    id: int
    generation: int
    root: str
    path: bytes
    tree: bool
    closed: bool
    lane: Lane
    announced: float
    due: float
    attempts: int


_COLUMNS = "id, generation, root, path, tree, closed, lane, announced, due, attempts"

# A file that was closed or got its name makes an entry that waits for the file to settle due at
# once; a further write and a walk do not.
_ADD = """
    INSERT INTO journal (generation, path, root, tree, closed, lane, announced, due, attempts)
    VALUES (0, ?, ?, ?, ?, ?, ?, ?, 0)
    ON CONFLICT (path) DO UPDATE SET
        generation = generation + 1, root = excluded.root, tree = max(tree, excluded.tree),
        closed = iif(excluded.lane = 0, excluded.closed, closed), lane = min(lane, excluded.lane),
        due = iif(excluded.lane = 0 AND ?, excluded.due, due),
        attempts = iif(excluded.lane = 0 AND ?, 0, attempts)"""


class EventJournal(DatabaseTable):
    """All entries of all lanes."""

    def record(self, announcements: Iterable[Announcement], lane: Lane, now: float) -> None:
        """Record announced paths; they are due at once."""
        rows = []
        for new in announcements:
            at_once = new.change is not Change.WRITTEN
            times = now, now, at_once, at_once
            rows.append((new.path, new.root, new.tree, new.closed, lane, *times))
        self._database.executemany(_ADD, rows)

    def load_due(self, lane: Lane, now: float, limit: int) -> list[JournalEntry]:
        """Return up to *limit* files of a lane that are due, the longest due first."""
        return self._load_due("tree = 0", lane, now, limit)

    def load_due_trees(self, lane: Lane, now: float, limit: int) -> list[JournalEntry]:
        """Return up to *limit* directories of a lane that are due, the longest due first."""
        return self._load_due("tree = 1", lane, now, limit)

    def defer(self, entry: JournalEntry) -> None:
        """Move an upload to the reconcile lane, unless it has been announced again since."""
        self._database.execute(
            "UPDATE journal SET lane = ? WHERE id = ? AND generation = ?",
            (Lane.RECONCILE, entry.id, entry.generation),
        )

    def _load_due(self, kind: str, lane: Lane, now: float, limit: int) -> list[JournalEntry]:
        rows = self._database.fetch_all(
            f"SELECT {_COLUMNS} FROM journal WHERE {kind} AND lane = ? AND due <= ?"  # noqa: S608  # ours
            " ORDER BY due, id LIMIT ?",
            (lane, now, limit),
        )
        return [
            JournalEntry(
                number, generation, root, path, bool(tree), bool(closed), Lane(lane), *rest
            )
            for number, generation, root, path, tree, closed, lane, *rest in rows
        ]

    def next_due(self, lane: Lane, after: float) -> float | None:
        """Return when the next file of a lane becomes due after a time; None if none waits."""
        row = self._database.fetch_one(
            "SELECT due FROM journal WHERE tree = 0 AND lane = ? AND due > ? ORDER BY due LIMIT 1",
            (lane, after),
        )
        return None if row is None else float(row[0])

    def remove(self, entries: Iterable[JournalEntry]) -> None:
        """Remove finished entries, except those announced again since they were loaded."""
        self._database.executemany(
            "DELETE FROM journal WHERE id = ? AND generation = ?",
            [(entry.id, entry.generation) for entry in entries],
        )

    def postpone(self, entries: Mapping[JournalEntry, float]) -> None:
        """Set when entries are due, except those announced again since they were loaded."""
        self._database.executemany(
            "UPDATE journal SET due = ?, attempts = attempts + 1 WHERE id = ? AND generation = ?",
            [(due, entry.id, entry.generation) for entry, due in entries.items()],
        )

    def make_late_due(self, latest: float, now: float) -> None:
        """Make entries due *now* that are due after *latest*: the clock was set back since."""
        late = [
            (now, tree, lane, latest)
            for tree in (0, 1)
            for lane in Lane
            if self._database.fetch_one(
                f"SELECT 1 FROM journal WHERE tree = {tree} AND lane = ? AND due > ? LIMIT 1",  # noqa: S608  # ours
                (lane, latest),
            )
        ]
        if late:
            self._database.executemany(
                "UPDATE journal SET due = ? WHERE tree = ? AND lane = ? AND due > ?", late
            )

    def count(self) -> dict[Lane, int]:
        """Count the entries of every lane.  Reads a whole index."""
        return {lane: self.count_lane(lane) for lane in Lane}

    def count_lane(self, lane: Lane, at_most: int = -1) -> int:
        """Count the files and directories of a lane; files up to *at_most*."""
        with self._database.read_connection() as connection:
            (files,) = connection.execute(
                "SELECT count(*) FROM (SELECT 1 FROM journal WHERE tree = 0 AND lane = ? LIMIT ?)",
                (lane, at_most),
            ).fetchone()
            (trees,) = connection.execute(
                "SELECT count(*) FROM journal WHERE tree = 1 AND lane = ?", (lane,)
            ).fetchone()
        return int(files + trees)

    def load_oldest(self) -> dict[Lane, float | None]:
        """Return for every lane when its oldest entry was announced.  Reads the whole table."""
        query = "SELECT lane, min(announced) FROM journal GROUP BY lane"
        return dict.fromkeys(Lane) | {
            Lane(lane): at for lane, at in self._database.fetch_all(query)
        }


_SELECT_PENDING = "SELECT content, lane, since, root, path FROM unanswered"


@dataclass(frozen=True, slots=True)
class PendingContent:
    """A content by its number, since when (Unix seconds) it waits, and one path of it."""

    content: int
    lane: Lane
    since: float
    root: str
    path: bytes


class PendingContents(DatabaseTable):
    """All contents that wait for an answer."""

    def record(self, contents: Iterable[PendingContent]) -> None:
        """Add contents; one that waits already keeps its age and path, and the better lane."""
        self._database.executemany(
            "INSERT INTO unanswered VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (content) DO UPDATE SET lane = min(lane, excluded.lane)",
            [(row.content, row.lane, row.since, row.root, row.path) for row in contents],
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
            f"{_SELECT_PENDING} WHERE (lane, since, content) > (?, ?, ?)"
            " ORDER BY lane, since, content LIMIT ?",
            (*key, limit),
        )
        return [PendingContent(content, Lane(lane), *rest) for content, lane, *rest in rows]

    def load(self, contents: Collection[int]) -> dict[int, PendingContent]:
        """Return those of these contents that wait, by number."""
        with self._database.snapshot() as connection:
            rows = [
                connection.execute(f"{_SELECT_PENDING} WHERE content = ?", (content,)).fetchone()
                for content in contents
            ]
        return {row[0]: PendingContent(row[0], Lane(row[1]), *row[2:]) for row in rows if row}

    def count(self) -> int:
        """Return how many contents wait."""
        (number,) = self._database.fetch_one("SELECT count(*) FROM unanswered")
        return int(number)
