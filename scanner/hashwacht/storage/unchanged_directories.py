"""Unchanged directories: whole directories that need neither reading nor a lookup.

A directory is numbered when it is first recorded, in the order of the walk, and later walks take
the same order.  The known files of a range of directories are therefore read ahead with two
queries, instead of two for each directory, and compared as plain tuples.  On a server where
nothing has changed this is most of the work of a scan.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import accumulate
from operator import itemgetter
from typing import NamedTuple

from hashwacht.platform.filesystems.volumes import VOLUMES
from hashwacht.storage.sqlite.database import Database
from hashwacht.storage.sqlite.encoding import NO_MATCH

MAX_DIRECTORIES = 512
"""Most directories in a range; its length doubles up to this number."""

MAX_FILES = 8192
"""Most files in a range; a directory with more is never read ahead."""

_MAX_RANGES = 3
"""Ranges in memory: the order of the numbers differs slightly from the order of the walk."""

_FILES_OF_RANGE = f"""
    SELECT CASE WHEN f.reason IS NULL AND c.reason IS NULL AND c.outcome = {NO_MATCH}
        AND c.epoch = ? AND c.asked_at >= ? AND c.recipe IN ({{}}) THEN f.name END,
    f.dev, f.ino, f.size, f.mtime_ns, f.ctime_ns, f.directory
    FROM files AS f LEFT JOIN contents AS c ON c.id = f.content
    WHERE f.directory BETWEEN ? AND ? ORDER BY f.directory, f.name LIMIT ?"""  # noqa: S608  # our own constants

FileIdentity = tuple[bytes, int, int, int, int, int]
"""A name and its FileId, as a plain tuple."""

IdentityRow = tuple[bytes | None, int, int, int, int, int, int]
"""A known file, its name None if it needs a lookup, and the number of its directory."""

_VOLUME, _NUMBER = itemgetter(1), itemgetter(6)


class VerdictRequirement(NamedTuple):
    """What a stored verdict must satisfy so that an unchanged file is skipped.

    NO_MATCH, decided at *knowledge_id* from answers not older than *not_before* (Unix seconds),
    with a fingerprint that attempted all signal types of *recipe*.
    """

    recipe: frozenset[str]
    knowledge_id: int
    not_before: float


class DirectoryRange:
    """Some directories and all known files in them, by name."""

    def __init__(self, numbers: Mapping[bytes, int], rows: list[IdentityRow]) -> None:
        """*numbers* are by path; *rows* are ordered by the number of their directory."""
        self.numbers, self._rows = numbers, rows
        self._counts = Counter(map(_NUMBER, rows))
        self._ends = dict(zip(self._counts, accumulate(self._counts.values()), strict=True))
        self.used = 0

    @property
    def files(self) -> int:
        """The number of files; MAX_FILES if the range was truncated."""
        return len(self._rows)

    def holds(self, number: int, files: Iterable[FileIdentity]) -> bool:
        """Return whether a directory has exactly these files and none needs a lookup."""
        end = self._ends.get(number, 0)
        known = self._rows[end - self._counts[number] : end]
        return [(*file, number) for file in sorted(files)] == known


class UnchangedDirectories:
    """Finds unchanged directories in about the order of an earlier walk.

    For one thread.  Other threads may record files in directories that have been queried already;
    nothing else may write to the storage meanwhile.
    """

    def __init__(self, database: Database, requirement: VerdictRequirement) -> None:
        self._database, self._requirement = database, requirement
        with database.read_connection() as connection:
            recipes = database.recipes.load_all(connection).items()
        self._recipes = [
            number for number, names in recipes if requirement.recipe.issubset(names.split())
        ]
        self._ranges: list[DirectoryRange] = []
        self._generation = VOLUMES.generation
        self._length = MAX_DIRECTORIES // 8

    def unchanged(self, path: bytes, files: Iterable[FileIdentity]) -> int | None:
        """Return the number of the directory *path* if exactly these files need no lookup."""
        if self._generation != VOLUMES.generation:  # their device numbers may be former ones
            self._ranges, self._generation = [], VOLUMES.generation
        for directories in self._ranges:
            if (number := directories.numbers.get(path)) is not None:
                directories.used += 1
                return number if directories.holds(number, files) else None
        return self._read_and_compare(path, files)

    def _read_and_compare(self, path: bytes, files: Iterable[FileIdentity]) -> int | None:
        row = self._database.fetch_one("SELECT id FROM directories WHERE path = ?", (path,))
        if row is None or not self._recipes:
            return None
        if len(self._ranges) == _MAX_RANGES:
            self._adapt(self._ranges.pop())
        number = int(row[0])
        directories = self._read(number)
        self._ranges.insert(0, directories)
        directories.used = 1
        complete = path in directories.numbers
        return number if complete and directories.holds(number, files) else None

    def _adapt(self, last: DirectoryRange) -> None:
        """Adapt the length to how much of a range was used, as kernels do when they read ahead."""
        if 4 * last.used < len(last.numbers) or last.files == MAX_FILES:
            self._length = max(1, self._length // 4)
        elif 2 * last.files < MAX_FILES:
            self._length = min(MAX_DIRECTORIES, 2 * self._length)

    def _read(self, number: int) -> DirectoryRange:
        """Read the directories with numbers near *number*, which the walk mostly enters next."""
        first = number - number % self._length
        last = first + self._length - 1
        needed = self._requirement.knowledge_id, self._requirement.not_before
        query = _FILES_OF_RANGE.format(", ".join("?" * len(self._recipes)))
        with self._database.snapshot() as connection:
            values = (*needed, *self._recipes, first, last, MAX_FILES)
            rows = connection.execute(query, values).fetchall()
            if len(rows) == MAX_FILES:  # truncated, perhaps within a directory
                last = rows[-1][-1] - 1
            numbers = connection.execute(
                "SELECT path, id FROM directories WHERE id BETWEEN ? AND ?", (first, last)
            )
            return DirectoryRange(dict(numbers.fetchall()), _with_devices(rows))


def _with_devices(rows: list[IdentityRow]) -> list[IdentityRow]:
    """Return the rows with the present device numbers of the stored volumes."""
    devices = {volume: VOLUMES.to_device(volume) for volume in {*map(_VOLUME, rows)}}
    if all(volume == device for volume, device in devices.items()):
        return rows
    return [(row[0], devices[row[1]], *row[2:]) for row in rows]
