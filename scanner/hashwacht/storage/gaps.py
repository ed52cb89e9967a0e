"""Gaps: where and when events may have been missed, until a walk has made up for it.

A gap is *open* until a walk that began after its end has compared everything below its path with
the state.  While it has no end yet, events may still be missed: it stays open however often it is
walked.  What came before what is told by its *generation*, for clocks are set back; times are for
people.  A root is *watched* as long as its heartbeat is written; from there on is downtime.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from hashwacht.core.watch_events import Cause, MissedEvents
from hashwacht.storage.sqlite.database import Database
from hashwacht.storage.sqlite.encoding import encode_int

MAX_CLOSED_GAPS = 10_000
"""Closed gaps that are kept."""


@dataclass(frozen=True, slots=True)
class Gap:
    """*path* is where, with all that is below; empty: the whole root.  Times are Unix seconds.

    *ended* is None while events may still be missed, *closed* until a walk has made up for it.
    *generation* grows with everything that is said of it.
    """

    id: int
    root: str
    path: bytes
    cause: Cause
    detail: str
    began: float
    ended: float | None
    closed: float | None
    generation: int


@dataclass(frozen=True, slots=True)
class RootHeartbeat:
    """Where a root was, and when it was last known to be watched.

    *dev* and *ino* say which directory that was when it was last compared.
    """

    root: str
    path: bytes
    at: float
    dev: int
    ino: int


_COLUMNS = "id, root, path, cause, detail, began, ended, closed, generation"


class Gaps:
    """All gaps, and the heartbeats of all roots."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, missed: MissedEvents, began: float, ended: float | None) -> int:
        """Record a gap, or let it be part of an open one of the same place and cause.

        *ended* None: events are still being missed.  Returns its number.
        """
        where = (missed.root, missed.path, missed.cause)
        with self._database.transaction() as writer:
            row = writer.execute(
                "SELECT id, began, ended FROM gaps WHERE closed IS NULL"
                " AND root = ? AND path = ? AND cause = ?",
                where,
            ).fetchone()
            if row is None:
                added = writer.execute(
                    "INSERT INTO gaps (root, path, cause, detail, began, ended, generation)"
                    " VALUES (?, ?, ?, ?, ?, ?, 0)",
                    (*where, missed.detail, began, ended),
                )
                assert added.lastrowid is not None
                return added.lastrowid
            number, first, last = row
            until = None if ended is None or last is None else max(last, ended)
            writer.execute(
                "UPDATE gaps SET began = ?, ended = ?, detail = ?, generation = generation + 1"
                " WHERE id = ?",
                (min(first, began), until, missed.detail, number),
            )
            return int(number)

    def record_end(self, numbers: Iterable[int], at: float) -> None:
        """Say that from now on nothing is missed any more: a walk can make up for it."""
        with self._database.transaction() as writer:
            writer.executemany(
                "UPDATE gaps SET ended = ?, generation = generation + 1"
                " WHERE id = ? AND ended IS NULL",
                [(at, number) for number in numbers],
            )

    def record_covered(self, gaps: Iterable[Gap], at: float) -> None:
        """Say that a walk has made up for these, which were read before it began.

        Those of which something was said meanwhile stay open.
        """
        with self._database.transaction() as writer:
            writer.executemany(
                "UPDATE gaps SET ended = coalesce(ended, ?), closed = ?"
                " WHERE id = ? AND generation = ? AND closed IS NULL",
                [(at, at, gap.id, gap.generation) for gap in gaps],
            )
            writer.execute(
                "DELETE FROM gaps WHERE closed IS NOT NULL"
                " AND id <= (SELECT max(id) FROM gaps) - ?",
                (MAX_CLOSED_GAPS,),
            )

    def load_open(self, root: str | None = None) -> list[Gap]:
        """Return the open gaps, of one root or of all, oldest first."""
        condition = "closed IS NULL AND (? IS NULL OR root = ?) ORDER BY began, id"
        return self._gaps(condition, (root, root))

    def load_latest(self, limit: int) -> list[Gap]:
        """Return the latest gaps, open or not, newest first."""
        return self._gaps("1 ORDER BY id DESC LIMIT ?", (limit,))

    def load_last_walk(self, root: str) -> float | None:
        """Say when the whole of a root was last compared with the state."""
        with self._database.read_connection() as connection:
            row = connection.execute(
                "SELECT closed FROM gaps WHERE root = ? AND path = x'' AND closed NOT NULL"
                " ORDER BY id DESC LIMIT 1",
                (root,),
            ).fetchone()
        return None if row is None else float(row[0])

    def _gaps(self, condition: str, values: tuple[Any, ...]) -> list[Gap]:
        with self._database.read_connection() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM gaps WHERE {condition}",  # noqa: S608  # ours
                values,
            ).fetchall()
        return [
            Gap(number, root, path, Cause(cause), *rest)
            for number, root, path, cause, *rest in rows
        ]

    def record_heartbeats(self, watched: Iterable[RootHeartbeat]) -> None:
        """Note until when these roots were watched; a new one counts as compared."""
        with self._database.transaction() as writer:
            writer.executemany(
                "INSERT INTO watched VALUES (?, ?, ?, ?, ?) ON CONFLICT (root) DO UPDATE SET"
                " path = excluded.path, at = excluded.at,"
                " dev = iif(path = excluded.path, dev, excluded.dev),"
                " ino = iif(path = excluded.path, ino, excluded.ino)",
                [(w.root, w.path, w.at, encode_int(w.dev), encode_int(w.ino)) for w in watched],
            )

    def record_comparison(self, root: str, dev: int, ino: int) -> None:
        """Note which directory a root was when the whole of it was compared."""
        with self._database.transaction() as writer:
            writer.execute(
                "UPDATE watched SET dev = ?, ino = ? WHERE root = ?",
                (encode_int(dev), encode_int(ino), root),
            )

    def load_heartbeats(self) -> dict[str, RootHeartbeat]:
        """Return the last heartbeat of every root, by name."""
        with self._database.read_connection() as connection:
            rows = connection.execute("SELECT root, path, at, dev, ino FROM watched").fetchall()
        return {
            root: RootHeartbeat(root, path, at, int(dev), int(ino))
            for root, path, at, dev, ino in rows
        }

    def retire_roots(self, roots: Collection[str], at: float) -> None:
        """Give up all roots but these: their gaps are closed, and if they come back, they are new.

        Nobody watches them any more, by decision of the operator.
        """
        with self._database.transaction() as writer:
            named = {name for (name,) in writer.execute("SELECT root FROM watched")}
            named |= {
                name for (name,) in writer.execute("SELECT root FROM gaps WHERE closed IS NULL")
            }
            for name in named.difference(roots):
                writer.execute("DELETE FROM watched WHERE root = ?", (name,))
                writer.execute(
                    "UPDATE gaps SET ended = coalesce(ended, ?), closed = ?"
                    " WHERE root = ? AND closed IS NULL",
                    (at, at, name),
                )
