"""Reading ahead: directories that were recorded one after the other are mostly walked so again.

A directory is numbered when it is first recorded, in the order of the walk, and the next walk
takes the same order.  So what is known of a whole stretch of numbers is fetched with three
queries, in place of two for every directory, and compared as plain tuples: on a server where
nothing has changed this is most of what a scan does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from hashwacht.state.database import Database
from hashwacht.state.encoding import NO_MATCH

LONGEST = 512
"""Directories in a stretch at the most, reached by doubling."""

MOST_FILES = 8192
"""Files in a stretch at the most; a directory with more is never read ahead."""

_KEPT = 3
"""Stretches held: the order of the numbers is a little other than that of the walk."""

_COUNTS = """
    SELECT directory, count(*) FROM (
        SELECT directory FROM files WHERE directory BETWEEN ? AND ? ORDER BY directory LIMIT ?)
    GROUP BY directory"""
_SEEN = f"""
    SELECT f.directory, f.name, f.dev, f.ino, f.size, f.mtime_ns, f.ctime_ns
    FROM files AS f CROSS JOIN contents AS c ON c.id = f.content
    WHERE f.directory BETWEEN ? AND ? AND f.reason IS NULL AND c.reason IS NULL
    AND c.outcome = {NO_MATCH} AND c.epoch = ? AND c.asked_at >= ? AND c.recipe IN ({{}})"""  # noqa: S608  # our own constants

File = tuple[bytes, int, int, int, int, int]
"""A name and its FileId, as a plain tuple."""

Seen = tuple[int, bytes, int, int, int, int, int]
"""A file of which nothing need be asked: number of its directory, name, and its FileId."""


class Settled(NamedTuple):
    """What a stored verdict must be, so that an unchanged file needs neither reading nor asking.

    NO_MATCH, decided in *epoch*, on answers not older than *not_before* (Unix seconds), on a
    fingerprint that attempted all of *recipe*.
    """

    recipe: frozenset[str]
    epoch: int
    not_before: float


@dataclass(slots=True)
class Stretch:
    """Some directories: numbers by path, how many files are known in each, those settled."""

    numbers: dict[bytes, int]
    counts: dict[int, int]
    seen: frozenset[Seen]
    used: int = 0

    @property
    def files(self) -> int:
        """How many files are known here; MOST_FILES if it was cut off."""
        return sum(self.counts.values())

    def holds(self, number: int, files: Iterable[File]) -> bool:
        """Say if exactly these files (name and FileId) are known in a directory, all settled."""
        found = [(number, *each) for each in files]
        return len(found) == self.counts.get(number, 0) and self.seen.issuperset(found)


class Stretches:
    """Says of directories, in about the order of an earlier walk, if all is as it was.

    Used by one thread.  What other threads record meanwhile about directories that were asked
    for already does not matter; nothing else may write to the state.
    """

    def __init__(self, database: Database, settled: Settled) -> None:
        self._database, self._settled = database, settled
        with database.reading() as connection:
            known = database.recipes.all(connection).items()
        self._recipes = [
            number for number, names in known if settled.recipe.issubset(names.split())
        ]
        self._kept: list[Stretch] = []
        self._length = LONGEST // 8

    def unchanged(self, path: bytes, files: Iterable[File]) -> int | None:
        """Give the number of the directory *path* if these are its files, and all are settled."""
        for stretch in self._kept:
            if (number := stretch.numbers.get(path)) is not None:
                stretch.used += 1
                return number if stretch.holds(number, files) else None
        return self._unforeseen(path, files)

    def _unforeseen(self, path: bytes, files: Iterable[File]) -> int | None:
        with self._database.reading() as connection:
            row = connection.execute("SELECT id FROM directories WHERE path = ?", (path,))
            found = row.fetchone()
        if found is None or not self._recipes:
            return None
        if len(self._kept) == _KEPT:
            self._adapt(self._kept.pop())
        stretch = self._read(found[0])
        self._kept.insert(0, stretch)
        stretch.used = 1
        return found[0] if stretch.holds(found[0], files) else None

    def _adapt(self, last: Stretch) -> None:
        """Read further ahead while that pays, as kernels do with files; *last* is used up."""
        if 4 * last.used < len(last.numbers) or last.files == MOST_FILES:
            self._length = max(1, self._length // 4)
        elif 2 * last.files < MOST_FILES:
            self._length = min(LONGEST, 2 * self._length)

    def _read(self, number: int) -> Stretch:
        """Fetch the directories numbered about *number*, which are mostly walked about now."""
        first = number - number % self._length
        last = first + self._length - 1
        with self._database.snapshot() as connection:
            counts: dict[int, int] = dict(
                connection.execute(_COUNTS, (first, last, MOST_FILES)).fetchall()
            )
            if sum(counts.values()) == MOST_FILES:  # cut off within a directory
                last = max(counts) - 1
            numbers = connection.execute(
                "SELECT path, id FROM directories WHERE id BETWEEN ? AND ?", (first, last)
            )
            ask = self._settled
            seen = connection.execute(
                _SEEN.format(", ".join("?" * len(self._recipes))),
                (first, last, ask.epoch, ask.not_before, *self._recipes),
            )
            return Stretch(dict(numbers.fetchall()), counts, frozenset(seen.fetchall()))
