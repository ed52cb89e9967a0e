"""Reports: counts over many files, and the files that a report lists.

Each query reads all rows below a directory or of a table.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from hashwacht.core.types import Reason
from hashwacht.storage.files import path_bounds
from hashwacht.storage.locations import LocationState
from hashwacht.storage.sqlite.database import DatabaseTable
from hashwacht.storage.sqlite.encoding import MATCH, UNDETERMINED

_FILES = (
    "directories AS d JOIN files AS f ON f.directory = d.id"
    " LEFT JOIN contents AS c ON c.id = f.content"
)
_WITHIN = "(d.path = ? OR (d.path >= ? AND d.path < ?))"

_ACCEPTED = """EXISTS (SELECT 1 FROM fingerprints AS fp JOIN accepted AS a ON a.key = fp.key
    JOIN words AS w ON w.text = a.reason WHERE fp.content = c.id AND w.id = c.reason)"""

_UNDETERMINED = f"""
    SELECT count(*), min(p.first_seen) FROM contents AS c
    JOIN fingerprints AS p ON p.content = c.id
    WHERE c.outcome = {UNDETERMINED} AND NOT {_ACCEPTED}"""  # noqa: S608  # ours


@dataclass(frozen=True, slots=True)
class ReportableFile:
    """A file by its path, with its content or the reason why it could not be read."""

    path: bytes
    content: int | None
    reason: Reason | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many contents there are, and the Unix time of the oldest; None if there is none."""

    number: int
    oldest: float | None


class StorageReports(DatabaseTable):
    """Queries for reports, status and metrics."""

    def count_kinds(self, root: bytes) -> Iterator[tuple[str, int, int]]:
        """Yield the MIME types of files below *root* with their number and bytes."""
        with self._database.snapshot() as connection:
            rows = connection.execute(
                f"SELECT p.kind, count(*), sum(p.size) FROM {_FILES}"  # noqa: S608  # ours
                f" JOIN fingerprints AS p ON p.content = f.content WHERE {_WITHIN}"
                " GROUP BY p.kind",
                (root, *path_bounds(root)),
            ).fetchall()
            words = self._database.words
            for kind, files, size in rows:
                yield words.text(connection, kind), files, size

    def load_reportable_files(self, root: bytes, limit: int) -> list[ReportableFile]:
        """Return matching, suppressed and undetermined files below *root*, by their last verdict.

        At most *limit* of each of these (-1: all), matches first.
        """
        conditions = (
            f"c.outcome = {MATCH}",
            # A suppressed match is recorded without a knowledge_id, so that every run reports it.
            "c.outcome IS NOT NULL AND c.epoch IS NULL",
            f"f.content IS NULL OR (c.outcome = {UNDETERMINED} AND NOT {_ACCEPTED})",
        )
        with self._database.snapshot() as connection:
            words = self._database.words
            return [
                ReportableFile(
                    os.path.join(path, name),  # noqa: PTH118  # bytes
                    content,
                    None if reason is None else Reason(words.text(connection, reason)),
                )
                for condition in conditions
                for path, name, content, reason in connection.execute(
                    f"SELECT d.path, f.name, f.content, f.reason FROM {_FILES}"  # noqa: S608  # ours
                    f" WHERE {_WITHIN} AND ({condition}) LIMIT ?",
                    (root, *path_bounds(root), limit),
                ).fetchall()
            ]

    def count_undetermined(self) -> Backlog:
        """Count contents whose last verdict is UNDETERMINED, for any reason."""
        return Backlog(*self._database.fetch_one(_UNDETERMINED))

    def load_undetermined(self, limit: int) -> list[int]:
        """Return up to *limit* contents whose last verdict is UNDETERMINED, newest first."""
        rows = self._database.fetch_all(
            f"SELECT id FROM contents WHERE outcome = {UNDETERMINED} ORDER BY id DESC LIMIT ?",  # noqa: S608  # ours
            (limit,),
        )
        return [number for (number,) in rows]

    def count_pending(self) -> Backlog:
        """Count contents that wait for an answer."""
        query = "SELECT count(*), min(since) FROM unanswered"
        return Backlog(*self._database.fetch_one(query))

    def count_locations(self) -> dict[LocationState, int]:
        """Count the file locations of all cases by state."""
        rows = self._database.fetch_all("SELECT state, count(*) FROM places GROUP BY state")
        return {LocationState(state): number for state, number in rows}
