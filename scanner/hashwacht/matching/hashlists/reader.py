"""The installed lists, opened, and opened anew when somebody changes them.

What is noticed costs one stat: lists change only by replacing the manifest.  Whoever is
still searching the former lists goes on with the files it has mapped.

One installed list, mapped and ready to be searched.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hashwacht.core.errors import ListError
from hashwacht.matching.hashlists.exact_index import ExactIndex
from hashwacht.matching.hashlists.index_file import IndexFile
from hashwacht.matching.hashlists.manifest import (
    LABELS,
    MANIFEST,
    HashList,
    TypeIndex,
    index_name,
    load,
    refs_name,
)
from hashwacht.matching.hashlists.radius_index import RadiusIndex

CHECKED_BYTES = 16 << 20
"""Files up to this size are compared with their checksum when opened (about 15 ms); the
larger ones by ``verify`` only, or every command would wait seconds for its lists."""

MAX_HITS = 256
"""Hits per value that are looked at further; the nearest ones."""


@dataclass(frozen=True, slots=True, order=True)
class ListHit:
    """One entry that matches: distance in bits, its category and id (perhaps empty)."""

    distance: int
    category: str
    id: str


class MappedList:
    """A list whose files are mapped.  Thread-safe; freed with the last reference."""

    def __init__(self, root: Path, info: HashList) -> None:
        """Map all files.  Raises ListError if one is damaged, OSError if it cannot be read."""
        self.info = info
        directory = root / info.directory
        for name, mark in info.files.items():
            _check(directory / name, mark.size, mark.sha256)
        labelled = any(each.labelled for each in info.types.values())
        labels = _mapped(directory / LABELS) if labelled else None
        self._types = {
            name: _OpenType(directory, name, each, info, labels)
            for name, each in info.types.items()
        }

    def hits(self, signal_type: str, value: bytes, slack: int = 0) -> list[ListHit]:
        """Give the entries that match a value, nearest first, at most MAX_HITS.

        *slack* looks that many bits beyond the radius.  Raises ListError if the list turns out
        to be damaged, or the value is of another length.
        """
        if signal_type not in self._types:
            return []
        return list(self._types[signal_type].hits(value, slack))


class _OpenType:
    """The values of one signal type of a list."""

    def __init__(
        self, root: Path, name: str, index: TypeIndex, info: HashList, labels: mmap.mmap | None
    ) -> None:
        file = IndexFile(root / index_name(name), index.bits // 8)
        if file.shape.count != index.count:
            raise ListError("the index file has another number of entries than the list")
        self._bytes = index.bits // 8
        self._radius = index.radius
        self._default = info.category
        self._exact = ExactIndex(file)
        self._near = RadiusIndex(file)
        self._labels = labels
        self._refs: NDArray[np.uint64] | None = None
        if index.labelled:
            self._refs = np.frombuffer(_mapped(root / refs_name(name)), "<u8", index.count)

    def hits(self, value: bytes, slack: int) -> Iterator[ListHit]:
        if len(value) != self._bytes:
            raise ListError(f"a value of {self._bytes * 8} bits was expected")
        try:
            if not self._radius + slack:
                for row in self._exact.rows(value)[:MAX_HITS]:
                    yield self._hit(row, 0)
                return
            rows, distances = self._near.rows(value, self._radius + slack)
            pairs = zip(rows[:MAX_HITS].tolist(), distances[:MAX_HITS].tolist(), strict=True)
            for row, distance in pairs:
                yield self._hit(row, distance)
        except (IndexError, UnicodeDecodeError) as error:
            raise ListError("the index file points to entries that are not there") from error

    def _hit(self, row: int, distance: int) -> ListHit:
        if self._refs is None or self._labels is None:
            return ListHit(distance, self._default, "")
        start = int(self._refs[row])
        end = self._labels.find(b"\n", start)
        category, tab, label = self._labels[start:end].decode().partition("\t")
        if end < 0 or not tab:
            raise IndexError
        return ListHit(distance, category or self._default, label)


def _check(path: Path, size: int, sha256: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        if os.fstat(fd).st_size != size:
            raise ListError(f"{path.name} has another length than when it was written")
        if size <= CHECKED_BYTES and hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            raise ListError(f"{path.name} has another checksum than when it was written")


def _mapped(path: Path) -> mmap.mmap:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return mmap.mmap(fd, 0, access=mmap.ACCESS_READ)
    finally:
        os.close(fd)


RETRY_AFTER = 5.0
"""Seconds after which a list that could not be opened is tried again."""

_RACES = 10
"""How often lists may be replaced while we open them before we answer with what we have."""

_Mark = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class InstalledLists:
    """The lists of one moment, those that can be searched and those that cannot.

    *damaged* maps names to the reason, *unusable* says why not even their names are known.
    *revision* is 16 hexadecimal digits over all lists and over what keeps some from being
    searched.
    """

    revision: str

    open: Mapping[str, MappedList] = field(default_factory=dict)
    damaged: Mapping[str, str] = field(default_factory=dict)
    known: Mapping[str, HashList] = field(default_factory=dict)
    unusable: str = ""
    advice: str = ""

    @property
    def types(self) -> frozenset[str]:
        """The signal types that some list holds."""
        return frozenset().union(*(each.types for each in self.known.values()))

    @property
    def judging_types(self) -> frozenset[str]:
        """The signal types that some list holds that accuses."""
        accusing = (each.types for each in self.known.values() if not each.known_good)
        return frozenset().union(*accusing)


class ListReloader:
    """Gives the lists of a directory as they are now.  Thread-safe."""

    def __init__(self, directory: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Look at nothing yet; *clock* gives seconds."""
        self._directory = directory
        self._manifest = str(directory / MANIFEST)  # looked at for every question
        self._clock = clock
        self._lock = threading.Lock()
        self._now: tuple[_Mark, float, InstalledLists] | None = None

    def lists(self) -> InstalledLists:
        """Give the lists, opened again if they have changed since.  Raises nothing."""
        now = self._now
        if now is not None and now[0] == self._mark() and self._clock() < now[1]:
            return now[2]
        with self._lock:
            return self._reopened()

    def forget(self) -> None:
        """Let go of the files; a search still under way keeps its own."""
        with self._lock:
            self._now = None

    def _reopened(self) -> InstalledLists:
        """Open what the manifest names; what vanishes meanwhile has been replaced: look again."""
        if self._now is not None and self._now[0] == self._mark() and self._clock() < self._now[1]:
            return self._now[2]
        for _ in range(_RACES):
            mark = self._mark()
            lists = self._opened(self._now[2].open if self._now else {})
            if mark == self._mark():
                break
        flawed = bool(lists.damaged or lists.unusable)
        until = self._clock() + RETRY_AFTER if flawed else float("inf")
        self._now = (mark, until, lists)
        return lists

    def _opened(self, before: Mapping[str, MappedList]) -> InstalledLists:
        try:
            known = load(self._directory)
        except ListError as error:
            return InstalledLists(
                _revision({}, {"": ""}), unusable=error.message, advice=error.advice
            )
        opened, damaged = dict[str, MappedList](), dict[str, str]()
        for name, info in known.items():
            former = before.get(name)
            try:
                same = former is not None and former.info == info
                opened[name] = former if former and same else MappedList(self._directory, info)
            except ListError as error:
                damaged[name] = error.message
            except (OSError, ValueError) as error:
                damaged[name] = getattr(error, "strerror", None) or "its files are damaged"
        return InstalledLists(_revision(known, damaged), opened, damaged, known)

    def _mark(self) -> _Mark:
        """Give what differs whenever the manifest is another file."""
        try:
            stat = os.lstat(self._manifest)
        except OSError as error:
            return (error.errno or 0,)
        return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def _revision(known: Mapping[str, HashList], damaged: Mapping[str, str]) -> str:
    state = repr((sorted(each.revision for each in known.values()), sorted(damaged)))
    return hashlib.sha256(state.encode()).hexdigest()[:16]
