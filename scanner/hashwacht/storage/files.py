"""Names on disk: what the last look at each found, and which content lies there."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Container, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from hashwacht.core.types import FileId, Outcome, Reason
from hashwacht.storage.sqlite.database import Database
from hashwacht.storage.sqlite.encoding import OUTCOMES, encode_int

FileRow = tuple[bytes, FileId, int, int | None, Reason | None]
"""What was found under a name: (name, id, nlink, content, reason if it could not be read)."""

_FORGET_CHUNK = 500
"""Directories forgotten in one transaction, so that others get a turn."""

_KNOWN = """f.dev, f.ino, f.size, f.mtime_ns, f.ctime_ns, f.content,
    coalesce(f.reason, c.reason), c.recipe, c.outcome, c.epoch, c.asked_at, f.run"""
_JOINED = "files AS f LEFT JOIN contents AS c ON c.id = f.content"
_IN_DIRECTORY = (
    f"SELECT f.name, {_KNOWN} FROM {_JOINED}"  # noqa: S608  # our own constants
    " WHERE f.directory = (SELECT id FROM directories WHERE path = ?)"
)
_SPARE = 1000
"""A directory that knows so many files more than are asked for is asked name by name."""


@dataclass(frozen=True, slots=True)
class KnownFile:
    """What the last look at a name found.

    *content* is None if it could not be read.  *reason* says why it is undetermined: the
    file itself could not be read, or its content lacks an answer.  *recipe*, *outcome*,
    *epoch* and *asked_at* (Unix seconds) are those of the content: what its fingerprint
    attempted, and the verdict with the epoch and the oldest answer it rests on.
    """

    id: FileId
    content: int | None
    reason: Reason | None
    recipe: tuple[str, ...]
    outcome: Outcome | None
    knowledge_id: int | None
    asked_at: float | None
    run: int


class Files:
    """The files of all directories ever listed.  Names and paths are bytes, paths absolute."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load_directory(
        self, path: bytes, names: Collection[bytes] | None = None
    ) -> dict[bytes, KnownFile]:
        """Return what is known of the files directly in *path*, by name.

        With *names*, at least of those: the memory it takes is bounded by their number, not
        by that of all files in the directory.
        """
        with self._database.read_connection() as connection:
            most = -1 if names is None else len(names) + _SPARE
            rows = connection.execute(_IN_DIRECTORY + " LIMIT ?", (path, most)).fetchall()
            if names is not None and len(rows) == most:
                found = (
                    connection.execute(_IN_DIRECTORY + " AND f.name = ?", (path, name)).fetchone()
                    for name in names
                )
                rows = [row for row in found if row is not None]
            return {row[0]: self._known(connection, row[1:]) for row in rows}

    def load(self, path: bytes, name: bytes) -> KnownFile | None:
        """Return what is known of one file directly in *path*."""
        with self._database.read_connection() as connection:
            row = connection.execute(_IN_DIRECTORY + " AND f.name = ?", (path, name)).fetchone()
            return None if row is None else self._known(connection, row[1:])

    def missing_names(self, path: bytes, present: Container[bytes]) -> list[bytes]:
        """Return the names known directly in *path* that are not in *present*."""
        with self._database.read_connection() as connection:
            names = connection.execute(
                "SELECT name FROM files"
                " WHERE directory = (SELECT id FROM directories WHERE path = ?)",
                (path,),
            )
            return [name for (name,) in names if name not in present]

    def load_by_inode(self, dev: int, ino: int) -> KnownFile | None:
        """Return what the latest look at another name of the same inode found.

        Only names are known here that had more than one link when they were looked at.
        """
        with self._database.read_connection() as connection:
            row = connection.execute(
                f"SELECT {_KNOWN} FROM {_JOINED}"  # noqa: S608  # our own constants
                " WHERE f.linked = 1 AND f.ino = ? AND f.dev = ?"
                " ORDER BY f.run DESC, f.ctime_ns DESC LIMIT 1",
                (encode_int(ino), encode_int(dev)),
            ).fetchone()
            return self._known(connection, row) if row else None

    def _known(self, connection: sqlite3.Connection, row: tuple[Any, ...]) -> KnownFile:
        dev, ino, size, mtime, ctime, content, reason, recipe, outcome, epoch, asked, run = row
        return KnownFile(
            FileId(int(dev), int(ino), int(size), int(mtime), int(ctime)),
            content,
            None if reason is None else Reason(self._database.words.text(connection, reason)),
            () if recipe is None else self._database.recipes.names(connection, recipe),
            None if outcome is None else OUTCOMES[outcome],
            epoch,
            asked,
            run,
        )

    def record(self, directory: bytes, run: int, files: Iterable[FileRow]) -> None:
        """Record what this run found under names of one directory."""
        with self._database.transaction() as writer:
            number = _directory(writer, directory)
            writer.executemany(
                "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (directory, name) DO UPDATE SET dev = excluded.dev,"
                " ino = excluded.ino, size = excluded.size, mtime_ns = excluded.mtime_ns,"
                " ctime_ns = excluded.ctime_ns, content = excluded.content,"
                " reason = excluded.reason, run = excluded.run, linked = excluded.linked",
                [(number, *self._row(writer, look, run)) for look in files],
            )

    def _row(self, writer: sqlite3.Connection, look: FileRow, run: int) -> tuple[Any, ...]:
        name, file, nlink, content, reason = look
        numbers = (file.dev, file.ino, file.size, file.mtime_ns, file.ctime_ns)
        why = None if reason is None else self._database.words.intern(writer, reason)
        return (name, *map(encode_int, numbers), content, why, run, nlink > 1)

    def remove(self, directory: bytes, names: Iterable[bytes]) -> None:
        """Drop names that a listing of their directory no longer shows."""
        with self._database.transaction() as writer:
            writer.executemany(
                "DELETE FROM files WHERE name = ?"
                " AND directory = (SELECT id FROM directories WHERE path = ?)",
                [(name, directory) for name in names],
            )

    def remove_unlisted(self, root: bytes, run: int, present: Container[bytes] = ()) -> int:
        """Drop the directories under *root* that *run* has not listed; return how many.

        Those in *present* stay: they were excluded, not removed.  Forgets nothing if *root*
        itself was not listed by *run*: it may be unmounted.
        """
        if not self.is_directory_done(root, run):
            return 0
        forgotten = 0
        after, end = path_bounds(root)
        while True:
            with self._database.transaction() as writer:
                found = writer.execute(
                    "SELECT path, id FROM directories"
                    " WHERE path > ? AND path < ? AND run <> ? ORDER BY path LIMIT ?",
                    (after, end, run, _FORGET_CHUNK),
                ).fetchall()
                gone = [(number,) for path, number in found if path not in present]
                writer.executemany("DELETE FROM directories WHERE id = ?", gone)
            forgotten += len(gone)
            if len(found) < _FORGET_CHUNK:
                return forgotten
            after = found[-1][0]

    def load_directories(self, root: bytes, after: bytes, limit: int) -> list[bytes]:
        """Return up to *limit* known directories below *root*, behind the path *after*."""
        first, end = path_bounds(root)
        with self._database.read_connection() as connection:
            rows = connection.execute(
                "SELECT path FROM directories WHERE path > ? AND path < ? ORDER BY path LIMIT ?",
                (max(first, after), end, limit),
            ).fetchall()
        return [path for (path,) in rows]

    def remove_directories(self, paths: Iterable[bytes]) -> None:
        """Drop directories that are gone, with all names that are known in them."""
        with self._database.transaction() as writer:
            writer.executemany("DELETE FROM directories WHERE path = ?", [(p,) for p in paths])

    def load_paths(self, content: int, limit: int | None = None) -> list[bytes]:
        """Return the absolute paths where this content lay when last looked at."""
        with self._database.read_connection() as connection:
            rows = connection.execute(
                "SELECT d.path, f.name FROM files AS f JOIN directories AS d"
                " ON d.id = f.directory WHERE f.content = ? ORDER BY f.directory, f.name LIMIT ?",
                (content, -1 if limit is None else limit),
            ).fetchall()
        return [os.path.join(path, name) for path, name in rows]  # noqa: PTH118  # bytes

    def mark_directory_done(self, path: bytes, run: int) -> None:
        """Note that *run* has listed *path* and recorded all its files."""
        with self._database.transaction() as writer:
            writer.execute(
                "UPDATE directories SET run = ? WHERE id = ?", (run, _directory(writer, path))
            )

    def mark_directories_done(self, numbers: Iterable[int], run: int) -> None:
        """Note the same of directories by their numbers, which are known for unchanged ones."""
        with self._database.transaction() as writer:
            writer.executemany(
                "UPDATE directories SET run = ? WHERE id BETWEEN ? AND ?",
                [(run, first, last) for first, last in _ranges(numbers)],
            )

    def is_directory_done(self, path: bytes, run: int) -> bool:
        """Tell whether directory_done was called for *path* in *run*."""
        with self._database.read_connection() as connection:
            row = connection.execute(
                "SELECT run = ? FROM directories WHERE path = ?", (run, path)
            ).fetchone()
        return bool(row and row[0])


def _directory(writer: sqlite3.Connection, path: bytes) -> int:
    """Return the number of a directory; a new one gets one, and counts as not listed."""
    row = writer.execute("SELECT id FROM directories WHERE path = ?", (path,)).fetchone()
    if row is None:
        added = writer.execute("INSERT INTO directories (path, run) VALUES (?, 0)", (path,))
        assert added.lastrowid is not None
        return added.lastrowid
    return int(row[0])


def _ranges(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Give the first and the last of each range of numbers that follow one another."""
    for _, each in groupby(enumerate(sorted(numbers)), lambda pair: pair[1] - pair[0]):
        places = [number for _, number in each]
        yield places[0], places[-1]


def path_bounds(root: bytes) -> tuple[bytes, bytes]:
    """Bounds of all paths below *root*: from ``root/`` up to, not including, ``root0``."""
    prefix = root.rstrip(b"/")
    return prefix + b"/", prefix + b"0"
