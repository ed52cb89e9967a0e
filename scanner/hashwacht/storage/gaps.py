"""Gaps: periods in which events of a root may have been missed, until a rescan covers them.

A gap is *open* until a walk that began after its end has compared everything below its path with
the storage.  While a gap has no end, events may still be missed, and no walk closes it.  The order
of changes is decided by a *generation* number, because clocks can be set back; times are only
displayed.  A root counts as watched until its last heartbeat; the time after it is downtime.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from hashwacht.core.watch_events import Cause, MissedEvents, WatchPosition
from hashwacht.storage.sqlite.database import DatabaseTable
from hashwacht.storage.sqlite.encoding import encode_int

MAX_CLOSED_GAPS = 10_000
"""How many closed gaps are kept."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A gap at *path* and below it; an empty path is the whole root.  Times are Unix seconds.

    *ended* is None while events may still be missed, *closed* until a walk has covered the gap.
    *generation* grows with every change.
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
    """The path of a root, and the time at which it was last known to be watched.

    *dev* and *ino* identify its directory when it was last compared with the storage.
    """

    root: str
    path: bytes
    at: float
    dev: int
    ino: int


_COLUMNS = "id, root, path, cause, detail, began, ended, closed, generation"


class Gaps(DatabaseTable):
    """All gaps, the heartbeats of all roots, and how far the events of the watch are recorded."""

    def record(self, missed: MissedEvents, began: float, ended: float | None) -> int:
        """Record a gap and return its number; an open one of the same path and cause is extended.

        *ended* is None while events are still being missed.
        """
        where = (missed.root, missed.path, missed.cause)
        with self._database.transaction() as writer:
            row = writer.execute(
                "SELECT id, began, ended FROM gaps WHERE closed IS NULL"
                " AND root = ? AND path = ? AND cause = ?",
                where,
            ).fetchone()
            if row is None:
                return self._database.insert(
                    "INSERT INTO gaps (root, path, cause, detail, began, ended, generation)"
                    " VALUES (?, ?, ?, ?, ?, ?, 0)",
                    (*where, missed.detail, began, ended),
                )
            number, known_began, known_ended = row
            until = None if ended is None or known_ended is None else max(known_ended, ended)
            writer.execute(
                "UPDATE gaps SET began = ?, ended = ?, detail = ?, generation = generation + 1"
                " WHERE id = ?",
                (min(known_began, began), until, missed.detail, number),
            )
            return int(number)

    def record_end(self, numbers: Iterable[int], at: float) -> None:
        """Record that no events are missed any more, so that a walk can cover these gaps."""
        self._database.executemany(
            "UPDATE gaps SET ended = ?, generation = generation + 1 WHERE id = ? AND ended IS NULL",
            [(at, number) for number in numbers],
        )

    def record_covered(self, gaps: Iterable[Gap], at: float) -> None:
        """Close gaps that a walk has covered; they were loaded before it began.

        Those that have changed since then stay open.
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
        """Return when the whole root was last compared with the storage."""
        row = self._database.fetch_one(
            "SELECT closed FROM gaps WHERE root = ? AND path = x'' AND closed NOT NULL"
            " ORDER BY id DESC LIMIT 1",
            (root,),
        )
        return None if row is None else float(row[0])

    def load_last_walk_begin(self, root: str) -> float | None:
        """Return a time at or before the beginning of the last comparison of the whole root."""
        row = self._database.fetch_one(
            "SELECT began FROM gaps WHERE root = ? AND path = x'' AND closed NOT NULL"
            " ORDER BY id DESC LIMIT 1",
            (root,),
        )
        return None if row is None else float(row[0])

    def _gaps(self, condition: str, values: tuple[Any, ...]) -> list[Gap]:
        rows = self._database.fetch_all(f"SELECT {_COLUMNS} FROM gaps WHERE {condition}", values)  # noqa: S608  # ours
        return [
            Gap(number, root, path, Cause(cause), *rest)
            for number, root, path, cause, *rest in rows
        ]

    def record_heartbeats(self, watched: Iterable[RootHeartbeat]) -> None:
        """Record until when these roots were watched; a new one counts as compared."""
        self._database.executemany(
            "INSERT INTO watched VALUES (?, ?, ?, ?, ?) ON CONFLICT (root) DO UPDATE SET"
            " path = excluded.path, at = excluded.at,"
            " dev = iif(path = excluded.path, dev, excluded.dev),"
            " ino = iif(path = excluded.path, ino, excluded.ino)",
            [(w.root, w.path, w.at, encode_int(w.dev), encode_int(w.ino)) for w in watched],
        )

    def record_comparison(self, root: str, dev: int, ino: int) -> None:
        """Record the identity of a root's directory at a comparison of the whole root."""
        self._database.execute(
            "UPDATE watched SET dev = ?, ino = ? WHERE root = ?",
            (encode_int(dev), encode_int(ino), root),
        )

    def load_heartbeats(self) -> dict[str, RootHeartbeat]:
        """Return the last heartbeat of every root, by name."""
        rows = self._database.fetch_all("SELECT root, path, at, dev, ino FROM watched")
        return {
            root: RootHeartbeat(root, path, at, int(dev), int(ino))
            for root, path, at, dev, ino in rows
        }

    def record_position(self, position: WatchPosition) -> None:
        """Record that everything the watch reported up to *position* is in the journal or a gap.

        Belongs into the transaction that records it.
        """
        self._database.execute(
            "INSERT INTO watch_position VALUES (1, ?, ?) ON CONFLICT (id) DO UPDATE SET"
            " stream = excluded.stream, number = excluded.number",
            position,
        )

    def load_position(self) -> WatchPosition | None:
        """Return the recorded position of the watch, None if there is none."""
        row = self._database.fetch_one("SELECT stream, number FROM watch_position")
        return None if row is None else WatchPosition(*row)

    def retire_roots(self, roots: Collection[str], at: float) -> None:
        """Remove all roots but these, which the operator no longer watches, and close their gaps.

        A root that is configured again later is a new one.
        """
        with self._database.transaction() as writer:
            names = writer.execute(
                "SELECT root FROM watched UNION SELECT root FROM gaps WHERE closed IS NULL"
            ).fetchall()
            for name in {name for (name,) in names}.difference(roots):
                writer.execute("DELETE FROM watched WHERE root = ?", (name,))
                writer.execute(
                    "UPDATE gaps SET ended = coalesce(ended, ?), closed = ?"
                    " WHERE root = ? AND closed IS NULL",
                    (at, at, name),
                )
