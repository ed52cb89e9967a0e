"""What waits for work: announced files, and contents without an answer.

The *journal* records announced files before any work on them begins.  A path has one entry.  Each
further announcement increments the entry's *generation*, so that work on an earlier announcement
does not remove a later one.  Entries are loaded in turn by *account*, the directory of a customer,
so that many files of one do not delay those of the others.  A committed transaction survives
``kill -9``; a power cut is covered by the gap that every start opens (``gaps``).

*Pending contents* wait until an unavailable matcher answers.  They are looked up by their stored
signals, uploads first, then by age.  One path of each is kept with it: the file may be gone when
the answer arrives.  (Table ``unanswered``.)
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hashwacht.core.watch_events import Announcement, Change, Lane
from hashwacht.storage.sqlite.database import Database, DatabaseTable


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
    account: bytes
    tree: bool
    closed: bool
    lane: Lane
    announced: float
    due: float
    attempts: int


_COLUMNS = "id, generation, root, path, account, tree, closed, lane, announced, due, attempts"

# A file that was closed or got its name makes an entry that waits for the file to settle due at
# once; a further write and a walk do not.  What was read and is unsettled waits from now on.
_ADD = """
    INSERT INTO journal
        (generation, path, root, account, tree, closed, lane, announced, due, attempts)
    VALUES (0, ?, ?, ?, ?, ?, ?, ?, ?, 0)
    ON CONFLICT (path) DO UPDATE SET
        generation = generation + 1, root = excluded.root, account = excluded.account,
        tree = max(tree, excluded.tree),
        closed = iif(excluded.lane = 0, excluded.closed, closed),
        due = iif(lane = 2 OR (excluded.lane = 0 AND ?), excluded.due, due),
        attempts = iif(lane = 2 OR (excluded.lane = 0 AND ?), 0, attempts),
        announced = iif(lane = 2, excluded.announced, announced),
        lane = min(lane, excluded.lane)"""

# The accounts with entries that are due, from one on: one step in the index for each account.
_ACCOUNTS = """
    WITH RECURSIVE accounts (account) AS (
        SELECT min(account) FROM journal WHERE {kind} AND lane = ?1 AND account >= ?2
        UNION ALL
        SELECT (SELECT min(account) FROM journal
            WHERE {kind} AND lane = ?1 AND account > accounts.account)
        FROM accounts WHERE accounts.account IS NOT NULL)
    SELECT account FROM accounts WHERE account IS NOT NULL AND EXISTS
        (SELECT 1 FROM journal
         WHERE {kind} AND lane = ?1 AND account = accounts.account AND due <= ?3)
    LIMIT ?4"""


class EventJournal(DatabaseTable):
    """All entries of all lanes."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._cursors: dict[tuple[str, Lane], bytes] = {}
        """Where the next turn of the accounts begins."""

    def record(self, announcements: Iterable[Announcement], lane: Lane, now: float) -> None:
        """Record announced paths; they are due at once."""
        rows = []
        for new in announcements:
            at_once = new.change is not Change.WRITTEN
            times = now, now, at_once, at_once
            rows.append((new.path, new.root, new.account, new.tree, new.closed, lane, *times))
        self._database.executemany(_ADD, rows)

    def load_due(self, lane: Lane, now: float, limit: int) -> list[JournalEntry]:
        """Return up to *limit* files of a lane that are due, the longest due of each account.

        The next call begins with other accounts.
        """
        return self._load_due("tree = 0", lane, now, limit)

    def load_due_trees(self, lane: Lane, now: float, limit: int) -> list[JournalEntry]:
        """Return up to *limit* directories of a lane that are due, as :meth:`load_due` does."""
        return self._load_due("tree = 1", lane, now, limit)

    def defer(self, entry: JournalEntry) -> None:
        """Move an upload to the reconcile lane, unless it has been announced again since."""
        self._database.execute(
            "UPDATE journal SET lane = ? WHERE id = ? AND generation = ?",
            (Lane.RECONCILE, entry.id, entry.generation),
        )

    def _load_due(self, kind: str, lane: Lane, now: float, limit: int) -> list[JournalEntry]:
        entries: list[JournalEntry] = []
        with self._database.snapshot() as connection:
            pending = dict.fromkeys(self._accounts(connection, kind, lane, now, limit), 0)
            while pending and len(entries) < limit:
                share = max(1, (limit - len(entries)) // len(pending))
                for account, skipped in list(pending.items()):
                    number = min(share, limit - len(entries))
                    rows = connection.execute(
                        f"SELECT {_COLUMNS} FROM journal WHERE {kind} AND lane = ?"  # noqa: S608  # ours
                        " AND account = ? AND due <= ? ORDER BY due, id LIMIT ? OFFSET ?",
                        (lane, account, now, number, skipped),
                    ).fetchall()
                    entries += map(_entry, rows)
                    pending[account] += len(rows)
                    if len(rows) < share:
                        del pending[account]
        return entries

    def _accounts(
        self, connection: sqlite3.Connection, kind: str, lane: Lane, now: float, limit: int
    ) -> list[bytes]:
        """Return up to *limit* accounts with entries that are due, beginning with other ones."""
        query, cursor = _ACCOUNTS.format(kind=kind), self._cursors.get((kind, lane), b"")
        accounts = [row[0] for row in connection.execute(query, (lane, cursor, now, limit))]
        if cursor and len(accounts) < limit:
            rest = limit - len(accounts)
            begin = [row[0] for row in connection.execute(query, (lane, b"", now, rest))]
            accounts += [account for account in begin if account < cursor]
        if accounts:
            last = accounts[-1 if len(accounts) == limit else 0]
            self._cursors[kind, lane] = last + b"\0"  # the smallest one after it
        return accounts

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

    def keep_unsettled(self, entries: Mapping[JournalEntry, float]) -> None:
        """Keep entries of files that were read, until they are settled; set when they are due.

        Those announced again since they were loaded stay as they are.
        """
        self._database.executemany(
            "UPDATE journal SET attempts = iif(lane = 2, attempts, 0) + 1, lane = 2, due = ?"
            " WHERE id = ? AND generation = ?",
            [(due, entry.id, entry.generation) for entry, due in entries.items()],
        )

    def make_late_due(
        self, latest: float, now: float, lanes: Collection[Lane] = tuple(Lane)
    ) -> None:
        """Make entries due *now* that are due after *latest*: the clock was set back since."""
        late = [
            (now, tree, lane, latest)
            for tree in (0, 1)
            for lane in lanes
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


def _entry(row: tuple[Any, ...]) -> JournalEntry:
    number, generation, root, path, account, tree, closed, lane, *rest = row
    return JournalEntry(
        number, generation, root, path, account, bool(tree), bool(closed), Lane(lane), *rest
    )


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
