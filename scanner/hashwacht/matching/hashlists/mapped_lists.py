"""The installed lists, mapped for searching and reloaded when the manifest changes.

A check for changes costs one stat, because lists change only when the manifest is replaced.  A
search in progress keeps the files it has mapped.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hashwacht.core.errors import ListError
from hashwacht.matching.hashlists.index_file import ExactIndex, IndexFile
from hashwacht.matching.hashlists.manifest import (
    LABELS,
    MANIFEST,
    FileChecksum,
    HashList,
    TypeIndex,
    index_name,
    load,
    refs_name,
)
from hashwacht.matching.hashlists.radius_index import RadiusIndex
from hashwacht.matching.hashlists.ubiquitous import DIGEST_TYPES, ubiquitous_digests

CHECKED_BYTES = 16 << 20
"""Files up to this size are compared with their checksum when opened (about 15 ms); larger ones
only by ``lists verify``, or every command would wait seconds for its lists."""

NO_LIMIT = 1 << 16
"""A radius beyond the length of any hash."""

MAX_HITS = 256
"""Hits per value, the nearest ones."""


@dataclass(frozen=True, slots=True, order=True)
class ListHit:
    """A matching entry: distance in bits, category and id (may be empty)."""

    distance: int
    category: str
    id: str


class MappedList:
    """A list whose files are mapped.  Thread-safe; unmapped with the last reference."""

    def __init__(self, root: Path, info: HashList) -> None:
        """Map all files.  Raises ListError if one is damaged, OSError if it cannot be read."""
        self.info = info
        self.ubiquitous: Mapping[tuple[str, bytes], str] = {}
        directory = root / info.directory
        for name, checksum in info.files.items():
            _check(directory / name, checksum)
        labelled = any(index.labelled for index in info.types.values())
        labels = _map(directory / LABELS) if labelled else None
        self._types = {
            name: _MappedType(directory, name, index, info, labels)
            for name, index in info.types.items()
        }
        if not info.screened and not info.known_good:
            self.ubiquitous = dict(self._ubiquitous())

    def hits(
        self, signal_type: str, value: bytes, slack: int = 0, limit: int = NO_LIMIT
    ) -> list[ListHit]:
        """Return the entries that match a value, nearest first, at most MAX_HITS.

        The radius is that of the list, at most *limit*, extended by *slack* bits.  Raises
        ListError if the list is damaged or the value has another length.
        """
        if signal_type not in self._types:
            return []
        return list(self._types[signal_type].hits(value, slack, limit))

    def _ubiquitous(self) -> Iterator[tuple[tuple[str, bytes], str]]:
        """Yield the digests of ubiquitous contents in a list that was imported unscreened."""
        for name in DIGEST_TYPES & self._types.keys():
            for value, content in ubiquitous_digests(name).items():
                if self._types[name].contains(value):
                    yield (name, value), content


class _MappedType:
    def __init__(
        self, root: Path, name: str, index: TypeIndex, info: HashList, labels: mmap.mmap | None
    ) -> None:
        file = IndexFile(root / index_name(name), index.bits // 8)
        if file.layout.count != index.count:
            raise ListError("the number of entries in the index file differs from the manifest")
        self._bytes = index.bits // 8
        self._radius = index.radius
        self._default = info.category
        self._exact = ExactIndex(file)
        self._near = RadiusIndex(file)
        self._labels = labels
        self._refs: NDArray[np.uint64] | None = None
        if index.labelled:
            self._refs = np.frombuffer(_map(root / refs_name(name)), "<u8", index.count)

    def contains(self, value: bytes) -> bool:
        return bool(self._exact.rows(value))

    def hits(self, value: bytes, slack: int, limit: int) -> Iterator[ListHit]:
        if len(value) != self._bytes:
            raise ListError(f"expected a value of {self._bytes * 8} bits")
        try:
            radius = min(self._radius, limit) + slack
            if not radius:
                for row in self._exact.rows(value)[:MAX_HITS]:
                    yield self._hit(row, 0)
                return
            rows, distances = self._near.rows(value, radius)
            pairs = zip(rows[:MAX_HITS].tolist(), distances[:MAX_HITS].tolist(), strict=True)
            for row, distance in pairs:
                yield self._hit(row, distance)
        except (IndexError, UnicodeDecodeError) as error:
            raise ListError("the index file refers to entries that do not exist") from error

    def _hit(self, row: int, distance: int) -> ListHit:
        if self._refs is None or self._labels is None:
            return ListHit(distance, self._default, "")
        start = int(self._refs[row])
        end = self._labels.find(b"\n", start)
        category, tab, label = self._labels[start:end].decode().partition("\t")
        if end < 0 or not tab:
            raise IndexError
        return ListHit(distance, category or self._default, label)


def _check(path: Path, checksum: FileChecksum) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        if os.fstat(fd).st_size != checksum.size:
            raise ListError(f"the length of {path.name} has changed")
        if checksum.size > CHECKED_BYTES:
            return
        if hashlib.file_digest(file, "sha256").hexdigest() != checksum.sha256:
            raise ListError(f"the checksum of {path.name} has changed")


def _map(path: Path) -> mmap.mmap:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return mmap.mmap(fd, 0, access=mmap.ACCESS_READ)
    finally:
        os.close(fd)


RETRY_AFTER = 5.0
"""Seconds after which a list that could not be opened is opened again."""

_MAX_RACES = 10
"""How often lists may be replaced while they are opened before the result is used anyway."""

_ManifestStat = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class InstalledLists:
    """The lists at one moment, those that can be searched and those that cannot.

    *damaged* maps names to the reason; *unusable* is the reason why the manifest cannot be read.
    *revision* is 16 hexadecimal digits over all lists and the names of the damaged ones.
    """

    revision: str
    open: Mapping[str, MappedList] = field(default_factory=dict)
    damaged: Mapping[str, str] = field(default_factory=dict)
    known: Mapping[str, HashList] = field(default_factory=dict)
    unusable: str = ""
    advice: str = ""

    types: frozenset[str] = field(init=False, compare=False)
    """The signal types of all lists."""
    judging_types: frozenset[str] = field(init=False, compare=False)
    """The signal types of all lists that are not known-good."""

    def __post_init__(self) -> None:
        """Join the types once: every lookup needs them."""
        lists = self.known.values()
        types = frozenset[str]().union(*(info.types for info in lists))
        judging = (info.types for info in lists if not info.known_good)
        object.__setattr__(self, "types", types)
        object.__setattr__(self, "judging_types", frozenset[str]().union(*judging))


class ListReloader:
    """Returns the current lists of a directory.  Thread-safe."""

    def __init__(self, directory: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self._manifest = str(directory / MANIFEST)  # a string, because every query needs it
        self._clock = clock
        self._lock = threading.Lock()
        self._current: tuple[_ManifestStat, float, InstalledLists] | None = None

    def lists(self) -> InstalledLists:
        """Return the lists, reopened if they have changed.  Raises nothing."""
        if (lists := self._unchanged()) is not None:
            return lists
        with self._lock:
            return self._unchanged() or self._reopen()

    def forget(self) -> None:
        """Unmap the files; a search in progress keeps its own."""
        with self._lock:
            self._current = None

    def _unchanged(self) -> InstalledLists | None:
        current = self._current
        if current and current[0] == self._manifest_stat() and self._clock() < current[1]:
            return current[2]
        return None

    def _reopen(self) -> InstalledLists:
        """Open the lists of the manifest; repeat if it is replaced at the same time."""
        for _ in range(_MAX_RACES):
            stat = self._manifest_stat()
            lists = self._open(self._current[2].open if self._current else {})
            if stat == self._manifest_stat():
                break
        faulty = bool(lists.damaged or lists.unusable)
        valid_until = self._clock() + RETRY_AFTER if faulty else float("inf")
        self._current = (stat, valid_until, lists)
        return lists

    def _open(self, previous: Mapping[str, MappedList]) -> InstalledLists:
        try:
            known = load(self._directory)
        except ListError as error:
            return InstalledLists(
                _revision({}, {"": ""}), unusable=error.message, advice=error.advice
            )
        opened, damaged = dict[str, MappedList](), dict[str, str]()
        for name, info in known.items():
            mapped = previous.get(name)
            try:
                unchanged = mapped is not None and mapped.info == info
                opened[name] = mapped if mapped and unchanged else MappedList(self._directory, info)
            except ListError as error:
                damaged[name] = error.message
            except (OSError, ValueError) as error:
                damaged[name] = getattr(error, "strerror", None) or "its files are damaged"
        screened = sorted(name for name, mapped in opened.items() if mapped.ubiquitous)
        return InstalledLists(_revision(known, damaged, screened), opened, damaged, known)

    def _manifest_stat(self) -> _ManifestStat:
        """Return values that change whenever the manifest is replaced."""
        try:
            stat = os.lstat(self._manifest)
        except OSError as error:
            return (error.errno or 0,)
        return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def _revision(
    known: Mapping[str, HashList], damaged: Mapping[str, str], screened: Sequence[str] = ()
) -> str:
    """Return the revision; *screened* are lists with entries that are suppressed."""
    parts = (sorted(info.revision for info in known.values()), sorted(damaged))
    state = repr((*parts, screened) if screened else parts)
    return hashlib.sha256(state.encode()).hexdigest()[:16]
