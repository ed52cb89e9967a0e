"""Files: every name that was listed, as it was last examined, and its content.

Directories are numbered in the order in which they are first recorded; a name belongs to one.
Names and paths are bytes, paths are absolute.  Instead of a device number that of the volume is
stored, where the file system has one (:mod:`hashwacht.platform.filesystems.volumes`).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Container, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from hashwacht.core.types import FileId, Outcome, Reason
from hashwacht.platform.filesystems.volumes import VOLUMES
from hashwacht.storage.sqlite.database import DatabaseTable
from hashwacht.storage.sqlite.encoding import OUTCOMES, encode_int

FileRow = tuple[bytes, FileId, int, int | None, Reason | None]
"""A name as it was examined: (name, id, nlink, content, reason if it could not be read)."""

_REMOVE_CHUNK = 500
"""Directories removed in one transaction, so that other writers do not wait for long."""

_KNOWN_COLUMNS = """f.dev, f.ino, f.size, f.mtime_ns, f.ctime_ns, f.content,
    coalesce(f.reason, c.reason), c.recipe, c.outcome, c.epoch, c.asked_at, f.run"""
_JOINED = "files AS f LEFT JOIN contents AS c ON c.id = f.content"
_IN_DIRECTORY = (
    f"SELECT f.name, {_KNOWN_COLUMNS} FROM {_JOINED}"  # noqa: S608  # our own constants
    " WHERE f.directory = (SELECT id FROM directories WHERE path = ?)"
)
_MAX_EXCESS = 1000
"""If a directory holds this many names more than requested, each name is queried separately."""


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A name as it was last examined by *run*.

    *content* is None if the file could not be read.  *reason* explains an undetermined file: it
    could not be read, or its content lacks an answer.  *recipe*, *outcome*, *knowledge_id* and
    *asked_at* (Unix seconds) belong to the content: the signal types its fingerprint attempted,
    and the verdict with what the matchers knew and the date of the oldest answer it depends on.
    """

    id: FileId
    content: int | None
    reason: Reason | None
    recipe: tuple[str, ...]
    outcome: Outcome | None
    knowledge_id: int | None
    asked_at: float | None
    run: int


class Files(DatabaseTable):
    """The files of all listed directories."""

    def load_directory(
        self, path: bytes, names: Collection[bytes] | None = None
    ) -> dict[bytes, KnownFile]:
        """Return the known files directly in *path*, by name.

        With *names*, those at least: memory is bounded by their number instead of the number of
        all files in the directory.
        """
        with self._database.read_connection() as connection:
            most = -1 if names is None else len(names) + _MAX_EXCESS
            rows = connection.execute(_IN_DIRECTORY + " LIMIT ?", (path, most)).fetchall()
            if names is not None and len(rows) == most:
                one = _IN_DIRECTORY + " AND f.name = ?"
                single = (connection.execute(one, (path, name)).fetchone() for name in names)
                rows = [row for row in single if row is not None]
            return {row[0]: self._known(connection, row[1:]) for row in rows}

    def load(self, path: bytes, name: bytes) -> KnownFile | None:
        """Return one known file directly in *path*."""
        with self._database.read_connection() as connection:
            row = connection.execute(_IN_DIRECTORY + " AND f.name = ?", (path, name)).fetchone()
            return None if row is None else self._known(connection, row[1:])

    def missing_names(self, path: bytes, present: Container[bytes]) -> list[bytes]:
        """Return the names known directly in *path* that are not in *present*."""
        query = (
            "SELECT name FROM files WHERE directory = (SELECT id FROM directories WHERE path = ?)"
        )
        with self._database.read_connection() as connection:
            return [name for (name,) in connection.execute(query, (path,)) if name not in present]

    def load_by_inode(self, dev: int, ino: int) -> KnownFile | None:
        """Return the most recently examined name of an inode.

        Only names that had more than one hard link when they were examined are found.
        """
        with self._database.read_connection() as connection:
            row = connection.execute(
                f"SELECT {_KNOWN_COLUMNS} FROM {_JOINED}"  # noqa: S608  # our own constants
                " WHERE f.linked = 1 AND f.ino = ? AND f.dev IN (?, ?)"
                " ORDER BY f.run DESC, f.ctime_ns DESC LIMIT 1",
                (encode_int(ino), encode_int(dev), encode_int(VOLUMES.to_volume(dev))),
            ).fetchone()
            return self._known(connection, row) if row else None

    def load_links(self, dev: int, ino: int, limit: int) -> dict[bytes, FileId]:
        """Return up to *limit* absolute paths of an inode, as they were examined.

        Only names that had more than one hard link when they were examined are found.
        """
        rows = self._database.fetch_all(
            "SELECT d.path, f.name, f.ino, f.size, f.mtime_ns, f.ctime_ns FROM files AS f"
            " JOIN directories AS d ON d.id = f.directory"
            " WHERE f.linked = 1 AND f.ino = ? AND f.dev IN (?, ?) LIMIT ?",
            (encode_int(ino), encode_int(dev), encode_int(VOLUMES.to_volume(dev)), limit),
        )
        return {
            os.path.join(path, name): FileId(dev, *map(int, identity))  # noqa: PTH118  # bytes
            for path, name, *identity in rows
        }

    def _known(self, connection: sqlite3.Connection, row: tuple[Any, ...]) -> KnownFile:
        dev, *identity, content, reason, recipe, outcome, knowledge_id, asked_at, run = row
        return KnownFile(
            FileId(VOLUMES.to_device(int(dev)), *map(int, identity)),
            content,
            None if reason is None else Reason(self._database.words.text(connection, reason)),
            () if recipe is None else self._database.recipes.names(connection, recipe),
            None if outcome is None else OUTCOMES[outcome],
            knowledge_id,
            asked_at,
            run,
        )

    def record(self, directory: bytes, run: int, files: Iterable[FileRow]) -> None:
        """Record names of one directory as *run* examined them."""
        with self._database.transaction() as writer:
            number = _directory(writer, directory)
            writer.executemany(
                "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (directory, name) DO UPDATE SET dev = excluded.dev,"
                " ino = excluded.ino, size = excluded.size, mtime_ns = excluded.mtime_ns,"
                " ctime_ns = excluded.ctime_ns, content = excluded.content,"
                " reason = excluded.reason, run = excluded.run, linked = excluded.linked",
                [(number, *self._row(writer, file, run)) for file in files],
            )

    def _row(self, writer: sqlite3.Connection, file: FileRow, run: int) -> tuple[Any, ...]:
        name, identity, nlink, content, reason = file
        word = None if reason is None else self._database.words.intern(writer, reason)
        volume = VOLUMES.to_volume(identity.dev)
        numbers = (volume, identity.ino, identity.size, identity.mtime_ns, identity.ctime_ns)
        return (name, *map(encode_int, numbers), content, word, run, nlink > 1)

    def remove(self, directory: bytes, names: Iterable[bytes]) -> None:
        """Remove names that are no longer in *directory*."""
        self._database.executemany(
            "DELETE FROM files WHERE name = ?"
            " AND directory = (SELECT id FROM directories WHERE path = ?)",
            [(name, directory) for name in names],
        )

    def remove_unlisted(self, root: bytes, run: int, present: Container[bytes] = ()) -> int:
        """Remove the directories below *root* that *run* has not listed, and return how many.

        Those in *present* stay: they exist, but are excluded.  Nothing is removed if *run* has not
        listed *root* itself: it may be unmounted.
        """
        if not self.is_directory_done(root, run):
            return 0
        removed = 0
        after, end = path_bounds(root)
        while True:
            with self._database.transaction() as writer:
                unlisted = writer.execute(
                    "SELECT path, id FROM directories"
                    " WHERE path > ? AND path < ? AND run <> ? ORDER BY path LIMIT ?",
                    (after, end, run, _REMOVE_CHUNK),
                ).fetchall()
                gone = [(number,) for path, number in unlisted if path not in present]
                writer.executemany("DELETE FROM directories WHERE id = ?", gone)
            removed += len(gone)
            if len(unlisted) < _REMOVE_CHUNK:
                return removed
            after = unlisted[-1][0]

    def load_directories(self, root: bytes, after: bytes, limit: int) -> list[bytes]:
        """Return up to *limit* known directories below *root*, after the path *after*."""
        first, end = path_bounds(root)
        rows = self._database.fetch_all(
            "SELECT path FROM directories WHERE path > ? AND path < ? ORDER BY path LIMIT ?",
            (max(first, after), end, limit),
        )
        return [path for (path,) in rows]

    def remove_directories(self, paths: Iterable[bytes]) -> None:
        """Remove directories with all names in them."""
        self._database.executemany(
            "DELETE FROM directories WHERE path = ?", [(path,) for path in paths]
        )

    def load_paths(self, content: int, limit: int | None = None) -> list[bytes]:
        """Return the absolute paths at which this content was last examined."""
        rows = self._database.fetch_all(
            "SELECT d.path, f.name FROM files AS f JOIN directories AS d"
            " ON d.id = f.directory WHERE f.content = ? ORDER BY f.directory, f.name LIMIT ?",
            (content, -1 if limit is None else limit),
        )
        return [os.path.join(path, name) for path, name in rows]  # noqa: PTH118  # bytes

    def mark_directory_done(self, path: bytes, run: int) -> None:
        """Record that *run* has listed *path* and recorded all its files."""
        query = "UPDATE directories SET run = ? WHERE id = ?"
        with self._database.transaction() as writer:
            writer.execute(query, (run, _directory(writer, path)))

    def mark_directories_done(self, numbers: Iterable[int], run: int) -> None:
        """Record the same for directories by number, as it is known for unchanged ones."""
        self._database.executemany(
            "UPDATE directories SET run = ? WHERE id BETWEEN ? AND ?",
            [(run, first, last) for first, last in _ranges(numbers)],
        )

    def is_directory_done(self, path: bytes, run: int) -> bool:
        """Return whether *run* has marked *path* as done."""
        query = "SELECT 1 FROM directories WHERE path = ? AND run = ?"
        return self._database.fetch_one(query, (path, run)) is not None


def _directory(writer: sqlite3.Connection, path: bytes) -> int:
    """Return the number of a directory; a new one is added as not listed."""
    row = writer.execute("SELECT id FROM directories WHERE path = ?", (path,)).fetchone()
    if row is not None:
        return int(row[0])
    number = writer.execute("INSERT INTO directories (path, run) VALUES (?, 0)", (path,)).lastrowid
    assert number is not None
    return number


def _ranges(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last of each run of consecutive numbers."""
    for _, pairs in groupby(enumerate(sorted(numbers)), lambda pair: pair[1] - pair[0]):
        consecutive = [number for _, number in pairs]
        yield consecutive[0], consecutive[-1]


def path_bounds(root: bytes) -> tuple[bytes, bytes]:
    """Return the bounds of all paths below *root*: ``root/`` and, exclusive, ``root0``."""
    prefix = root.rstrip(b"/")
    return prefix + b"/", prefix + b"0"
