"""Runs: scans and rechecks with their progress and how they ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from hashwacht.core.errors import StorageFull
from hashwacht.storage.sqlite.database import DatabaseTable
from hashwacht.storage.sqlite.state_directory import lock_holder


class RunState(StrEnum):
    """The state of a run."""

    RUNNING = "running"
    INTERRUPTED = "interrupted"
    """Stopped, killed or out of disk space; the next run of the same kind resumes it."""
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Run:
    """One run.  Times are Unix seconds; *options* and *tally* are JSON written by the engine."""

    id: int
    kind: str
    roots: tuple[bytes, ...]
    options: str
    state: RunState
    started: float
    updated: float
    finished: float | None
    tally: str


_COLUMNS = "id, kind, roots, options, state, started, updated, finished, tally"


class Runs(DatabaseTable):
    """All runs that were started with this storage."""

    def start(self, kind: str, roots: Sequence[bytes], options: str, now: float) -> Run:
        """Record a new run as running."""
        number = self._database.insert(
            "INSERT INTO runs (kind, roots, options, state, started, updated, tally)"
            " VALUES (?, ?, ?, ?, ?, ?, '{}')",
            (kind, b"\0".join(roots), options, RunState.RUNNING, now, now),
        )
        return Run(number, kind, tuple(roots), options, RunState.RUNNING, now, now, None, "{}")

    def load_resumable(self, kind: str, roots: Sequence[bytes], options: str) -> Run | None:
        """Return the latest run of this kind, roots and options, if it was not finished."""
        row = self._database.fetch_one(
            f"SELECT {_COLUMNS} FROM runs"  # noqa: S608  # our own constants
            " WHERE kind = ? AND roots = ? AND options = ? ORDER BY id DESC LIMIT 1",
            (kind, b"\0".join(roots), options),
        )
        run = None if row is None else self._run(row)
        return run if run is not None and run.state is RunState.INTERRUPTED else None

    def resume(self, run: Run, now: float) -> Run:
        """Record an interrupted run as running again."""
        self._database.execute(
            "UPDATE runs SET state = ?, updated = ?, finished = NULL WHERE id = ?",
            (RunState.RUNNING, now, run.id),
        )
        return replace(run, state=RunState.RUNNING, updated=now, finished=None)

    def load_tally(self, run: int) -> str:
        """Return the tally from which a resumed run continues.

        Waits for a transaction that is being committed, because its counts are part of it.
        """
        with self._database.transaction() as writer:
            (tally,) = writer.execute("SELECT tally FROM runs WHERE id = ?", (run,)).fetchone()
        return str(tally)

    def record_progress(self, run: int, tally: str, now: float) -> None:
        """Record the progress of a run."""
        self._database.execute(
            "UPDATE runs SET tally = ?, updated = ? WHERE id = ?", (tally, now, run)
        )

    def finish(self, run: int, state: RunState, tally: str, now: float) -> None:
        """Record the end of a run; on a full disk the reserve is released for that."""
        try:
            self._finish(run, state, tally, now)
        except StorageFull:
            if not self._database.reserve.release():
                raise
            self._finish(run, state, tally, now)

    def _finish(self, run: int, state: RunState, tally: str, now: float) -> None:
        self._database.execute(
            "UPDATE runs SET state = ?, tally = ?, updated = ?, finished = ? WHERE id = ?",
            (state, tally, now, now, run),
        )

    def load_latest(self, limit: int | None = None) -> list[Run]:
        """Return the latest runs, newest first."""
        rows = self._database.fetch_all(
            f"SELECT {_COLUMNS} FROM runs ORDER BY id DESC LIMIT ?",  # noqa: S608  # ours
            (-1 if limit is None else limit,),
        )
        return [self._run(row) for row in rows]

    def _run(self, row: tuple[Any, ...]) -> Run:
        """Return a row as a Run; a running one whose process has ended was interrupted."""
        number, kind, joined, options, state, *rest = row
        if state == RunState.RUNNING:
            holder = lock_holder(self._database.path)
            if holder is None or holder.run != number:
                state = RunState.INTERRUPTED
        roots = tuple(joined.split(b"\0")) if joined else ()
        return Run(number, kind, roots, options, RunState(state), *rest)
