"""Reading ahead: directories that were recorded one after the other are mostly walked so again.

A directory is numbered when it is first recorded, in the order of the walk, and the next walk
takes the same order.  So what is known of a whole stretch of numbers is fetched with two
queries, in place of two for every directory, and compared as plain tuples: on a server where
nothing has changed this is most of what a scan does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import accumulate
from operator import itemgetter
from typing import NamedTuple

from hashwacht.storage.sqlite.database import Database
from hashwacht.storage.sqlite.encoding import NO_MATCH

MAX_DIRECTORIES = 512
"""Directories in a stretch at the most, reached by doubling."""

MAX_FILES = 8192
"""Files in a stretch at the most; a directory with more is never read ahead."""

_KEPT = 3
"""Stretches held: the order of the numbers is a little other than that of the walk."""

_SEEN = f"""
    SELECT CASE WHEN f.reason IS NULL AND c.reason IS NULL AND c.outcome = {NO_MATCH}
        AND c.epoch = ? AND c.asked_at >= ? AND c.recipe IN ({{}}) THEN f.name END,
    f.dev, f.ino, f.size, f.mtime_ns, f.ctime_ns, f.directory
    FROM files AS f LEFT JOIN contents AS c ON c.id = f.content
    WHERE f.directory BETWEEN ? AND ? ORDER BY f.directory, f.name LIMIT ?"""  # noqa: S608  # our own constants

FileIdentity = tuple[bytes, int, int, int, int, int]
"""A name and its FileId, as a plain tuple."""

IdentityRow = tuple[bytes | None, int, int, int, int, int, int]
"""A known file, its name None if something is to be asked of it; the number of its directory."""

_NUMBER = itemgetter(6)


class VerdictRequirement(NamedTuple):
    """What a stored verdict must be, so that an unchanged file needs neither reading nor asking.

    NO_MATCH, decided in *epoch*, on answers not older than *not_before* (Unix seconds), on a
    fingerprint that attempted all of *recipe*.
    """

    recipe: frozenset[str]
    knowledge_id: int
    not_before: float


class DirectoryRange:
    """Some directories, and all files that are known in them, in the order of their names."""

    def __init__(self, numbers: Mapping[bytes, int], seen: list[IdentityRow]) -> None:
        """Take the *numbers* by path, and the files by ascending numbers."""
        self.numbers, self._seen = numbers, seen
        self._counts = Counter(map(_NUMBER, seen))
        self._ends = dict(zip(self._counts, accumulate(self._counts.values()), strict=True))
        self.used = 0

    @property
    def files(self) -> int:
        """How many files are known here; MOST_FILES if it was cut off."""
        return len(self._seen)

    def holds(self, number: int, files: Iterable[FileIdentity]) -> bool:
        """Say if exactly these files (name and FileId) are known in a directory, all settled."""
        end = self._ends.get(number, 0)
        known = self._seen[end - self._counts[number] : end]
        return [(*each, number) for each in sorted(files)] == known


class UnchangedDirectories:
    """Says of directories, in about the order of an earlier walk, if all is as it was.

    Used by one thread.  What other threads record meanwhile about directories that were asked
    for already does not matter; nothing else may write to the state.
    """

    def __init__(self, database: Database, settled: VerdictRequirement) -> None:
        self._database, self._settled = database, settled
        with database.read_connection() as connection:
            known = database.recipes.load_all(connection).items()
        self._recipes = [
            number for number, names in known if settled.recipe.issubset(names.split())
        ]
        self._kept: list[DirectoryRange] = []
        self._length = MAX_DIRECTORIES // 8

    def unchanged(self, path: bytes, files: Iterable[FileIdentity]) -> int | None:
        """Give the number of the directory *path* if these are its files, and all are settled."""
        for stretch in self._kept:
            if (number := stretch.numbers.get(path)) is not None:
                stretch.used += 1
                return number if stretch.holds(number, files) else None
        return self._unforeseen(path, files)

    def _unforeseen(self, path: bytes, files: Iterable[FileIdentity]) -> int | None:
        with self._database.read_connection() as connection:
            row = connection.execute("SELECT id FROM directories WHERE path = ?", (path,))
            found = row.fetchone()
        if found is None or not self._recipes:
            return None
        if len(self._kept) == _KEPT:
            self._adapt(self._kept.pop())
        stretch = self._read(found[0])
        self._kept.insert(0, stretch)
        stretch.used = 1
        whole = path in stretch.numbers
        return found[0] if whole and stretch.holds(found[0], files) else None

    def _adapt(self, last: DirectoryRange) -> None:
        """Read further ahead while that pays, as kernels do with files; *last* is used up."""
        if 4 * last.used < len(last.numbers) or last.files == MAX_FILES:
            self._length = max(1, self._length // 4)
        elif 2 * last.files < MAX_FILES:
            self._length = min(MAX_DIRECTORIES, 2 * self._length)

    def _read(self, number: int) -> DirectoryRange:
        """Fetch the directories numbered about *number*, which are mostly walked about now."""
        first = number - number % self._length
        last = first + self._length - 1
        ask = self._settled
        with self._database.snapshot() as connection:
            seen = connection.execute(
                _SEEN.format(", ".join("?" * len(self._recipes))),
                (ask.knowledge_id, ask.not_before, *self._recipes, first, last, MAX_FILES),
            ).fetchall()
            if len(seen) == MAX_FILES:  # cut off, perhaps within a directory
                last = seen[-1][-1] - 1
            numbers = connection.execute(
                "SELECT path, id FROM directories WHERE id BETWEEN ? AND ?", (first, last)
            )
            return DirectoryRange(dict(numbers.fetchall()), seen)
