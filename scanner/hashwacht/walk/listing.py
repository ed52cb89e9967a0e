"""Listing of one open directory in bounded memory: files in portions, subdirectories in batches.

A directory may hold millions of names.  One chunk of them is held at a time, sorted by inode number
(on ext4 and XFS the order on the disk; names come in the order of their hash), examined, and
yielded at least every quarter of a second, so that a consumer can stop soon.  Subdirectories are
collected in a batch of the next ones in that order, however many there are.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from operator import attrgetter, methodcaller
from typing import NamedTuple, Protocol

from hashwacht.core.types import FileId
from hashwacht.platform.safe_open import LEASE_WAIT, OpenDirectory
from hashwacht.walk.rules import ExclusionRules

Key = tuple[int, bytes]
"""Order of the subdirectories of a directory: inode number, name."""


class SubdirectoryBatch:
    """The next *limit* subdirectories after the key *after*, however many are offered."""

    def __init__(self, after: Key | None, limit: int) -> None:
        self._after, self._limit = after, limit
        self._keys: list[Key] = []
        self.more = False

    def offer(self, key: Key) -> None:
        """Add *key* if it is one of the next."""
        if self._after is None or key > self._after:
            self._keys.append(key)
            if len(self._keys) >= 2 * self._limit:
                self._trim()

    def _trim(self) -> None:
        self._keys.sort()
        self.more = self.more or len(self._keys) > self._limit
        del self._keys[self._limit :]

    def keys(self) -> list[Key]:
        """Return the keys in descending order, so that ``pop()`` returns the next one."""
        self._trim()
        return self._keys[::-1]


_CLOCK_INTERVAL = 64
"""Files between two readings of the clock."""

_FIELDS = attrgetter("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns", "st_nlink")
_entry = tuple.__new__
"""Skips keyword handling, which takes half the time, for every file."""
_INO = attrgetter("ino")
_INODE = methodcaller("inode")
_is_regular = stat.S_ISREG
_bytes = methodcaller("encode", sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())
"""The same as os.fsencode in half the time."""
_UTF8 = sys.getfilesystemencoding() == "utf-8"


@dataclass(frozen=True, slots=True)
class WalkLimits:
    """Limits of a walk; with the defaults it needs 20 MB in the worst case.

    *chunk* counts files of one directory, *portion* seconds until a portion is yielded, *pending*
    names of subdirectories to walk, *kept* open directories besides the root.  *path* is in bytes,
    four times the limit of one system call: deeper directories are not walked, because the time
    for a chain of them grows with the square of its depth.
    """

    chunk: int = 10_000
    portion: float = 0.25
    pending: int = 50_000
    kept: int = 16
    path: int = 16_384


class FileEntry(NamedTuple):
    """A regular file in a directory, as it was when it was listed.

    A tuple of plain values, because there is one for every file of a server.  *nlink* is the number
    of hard links.
    """

    name: bytes
    dev: int
    ino: int
    size: int
    mtime_ns: int
    ctime_ns: int
    nlink: int

    @property
    def id(self) -> FileId:
        """The identity that is equal as long as the file is unchanged."""
        return FileId(self.dev, self.ino, self.size, self.mtime_ns, self.ctime_ns)

    @classmethod
    def from_stat(cls, name: bytes, status: os.stat_result) -> FileEntry:
        """Return the entry for *name* and its lstat(2)."""
        return _entry(cls, (name, *_FIELDS(status)))


class SkipReason(StrEnum):
    """Why an entry of the tree was not listed."""

    UNREADABLE = "unreadable"
    """The file system returned an error."""
    CHANGED = "changed-while-walked"
    """The directory was moved away before everything below it was listed."""
    TOO_DEEP = "too-deep"
    """The path is longer than the limit of the walk."""
    OTHER_FILE_SYSTEM = "other-file-system"
    """A mount point of a file system that is not to be walked."""
    PSEUDO_FILE_SYSTEM = "pseudo-file-system"
    """A mount point of an interface of the kernel, without users' files."""
    LOOP = "loop"
    """A mount of one of its parent directories, which has been listed already."""

    @property
    def loses_files(self) -> bool:
        """True if files that should be scanned may be missed."""
        return self in {SkipReason.UNREADABLE, SkipReason.CHANGED, SkipReason.TOO_DEEP}

    @property
    def leaves_out_files(self) -> bool:
        """True if files are missed because the walk is configured so."""
        return self is SkipReason.OTHER_FILE_SYSTEM


@dataclass(frozen=True, slots=True)
class ListingProblem:
    """An entry of a directory that was not listed; with an empty *name* the directory itself."""

    name: bytes
    skip_reason: SkipReason
    detail: str

    @classmethod
    def from_os_error(cls, error: OSError, name: bytes = b"") -> ListingProblem:
        """Return the problem for an error of the file system."""
        return cls(name, SkipReason.UNREADABLE, error.strerror or str(error))


class ListedDirectory(NamedTuple):
    """A portion of one directory; more follow if *last* is False.

    *path* is absolute; *files* are the regular files that no rule excludes, by ascending inode
    number.  The numbers count skipped names: files and directories that a rule excludes, symbolic
    links, and special files (FIFOs, sockets, devices).  Files can be opened until the next portion
    is requested.
    """

    path: bytes
    files: list[FileEntry]
    problems: list[ListingProblem]
    excluded: int = 0
    symlinks: int = 0
    special: int = 0
    last: bool = True
    handle: OpenDirectory | None = None

    def open(self, entry: FileEntry, lease_wait: float = LEASE_WAIT) -> int:
        """Open a file of this portion for reading and return its descriptor.

        Waits up to *lease_wait* seconds if another process holds a lease on it.  Raises FileChanged
        if another file is there now, OSError if it is gone or unreadable.
        """
        if self.handle is None:
            raise ValueError("nothing was listed here")
        return self.handle.file(entry.name, (entry.dev, entry.ino), lease_wait)


class ScandirIterator(Protocol):
    """The type of os.scandir()."""

    def __iter__(self) -> Iterator[os.DirEntry[str]]:
        """Return itself."""

    def close(self) -> None:
        """Close the directory."""


class Listing:
    """One reading of one open directory."""

    def __init__(
        self, path: bytes, handle: OpenDirectory, rules: ExclusionRules, limits: WalkLimits
    ) -> None:
        self._path, self._handle, self._limits, self._rules = path, handle, limits, rules
        self._excludes_file = rules.exclusion_test(path, directories=False)
        self._problems: list[ListingProblem] = []
        self._excluded = self._symlinks = self._special = 0

    @cached_property
    def _excludes_directory(self) -> Callable[[str], bool] | None:
        """Created when first needed: most directories have no subdirectory."""
        return self._rules.exclusion_test(self._path, directories=True)

    def subdirectories(self, batch: SubdirectoryBatch) -> None:
        """Offer all subdirectories to *batch*, without the files.  Raises OSError."""
        with os.scandir(self._handle.fd) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    self._offer(entry, batch)

    def portions(
        self, batch: SubdirectoryBatch
    ) -> tuple[ListedDirectory, ...] | Iterator[ListedDirectory]:
        """Return or yield the files in portions, and offer the subdirectories to *batch*.

        A directory with few files, like most, is read completely and returned as a tuple.
        """
        try:
            entries = os.scandir(self._handle.fd)
        except OSError as error:
            self._add_problem(error)
            return (self._portion([], last=True),)
        chunk = self._read_chunk(entries, batch)
        if len(chunk) > _CLOCK_INTERVAL or len(chunk) >= self._limits.chunk:
            return self._chunks(entries, chunk, batch)
        entries.close()
        chunk.sort(key=_INODE)
        return (self._portion(self._stat(chunk), last=True),)

    def _chunks(
        self, entries: ScandirIterator, chunk: list[os.DirEntry[str]], batch: SubdirectoryBatch
    ) -> Iterator[ListedDirectory]:
        with closing(entries):
            while len(chunk) >= self._limits.chunk:
                yield from self._examine(chunk, last=False)
                chunk = self._read_chunk(entries, batch)
        yield from self._examine(chunk, last=True)

    def _read_chunk(
        self, entries: ScandirIterator, batch: SubdirectoryBatch
    ) -> list[os.DirEntry[str]]:
        """Read a chunk of files that no rule excludes; count or offer the other entries."""
        chunk: list[os.DirEntry[str]] = []
        most, excludes_file = self._limits.chunk, self._excludes_file
        try:
            for entry in entries:
                try:
                    if not entry.is_file(follow_symlinks=False):
                        self._count_other(entry, batch)
                    elif excludes_file and excludes_file(_text(entry.name)):
                        self._excluded += 1
                    else:
                        chunk.append(entry)
                        if len(chunk) >= most:
                            break
                except OSError as error:  # the file system needs stat(2) for the type
                    self._add_problem(error, entry.name)
        except OSError as error:
            self._add_problem(error)
        return chunk

    def _count_other(self, entry: os.DirEntry[str], batch: SubdirectoryBatch) -> None:
        if entry.is_dir(follow_symlinks=False):
            self._offer(entry, batch)
        elif entry.is_symlink():
            self._symlinks += 1
        else:
            self._special += 1

    def _offer(self, entry: os.DirEntry[str], batch: SubdirectoryBatch) -> None:
        excludes_directory = self._excludes_directory
        if excludes_directory and excludes_directory(_text(entry.name)):
            self._excluded += 1
        else:
            batch.offer((entry.inode(), _bytes(entry.name)))

    def _examine(self, chunk: list[os.DirEntry[str]], *, last: bool) -> Iterator[ListedDirectory]:
        chunk.sort(key=_INODE)
        due = time.monotonic() + self._limits.portion
        files: list[FileEntry] = []
        for start in range(0, len(chunk), _CLOCK_INTERVAL):
            files += self._stat(chunk[start : start + _CLOCK_INTERVAL])
            if time.monotonic() > due and start + _CLOCK_INTERVAL < len(chunk):
                yield self._portion(files, last=False)
                files = []
                due = time.monotonic() + self._limits.portion
        yield self._portion(files, last=last)

    def _stat(self, entries: list[os.DirEntry[str]]) -> list[FileEntry]:
        files = []
        for entry in entries:
            try:
                now = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            except OSError as error:
                self._add_problem(error, entry.name)
                continue
            if _is_regular(now.st_mode):
                files.append(_entry(FileEntry, (_bytes(entry.name), *_FIELDS(now))))
        return files

    def _add_problem(self, error: OSError, name: str = "") -> None:
        self._problems.append(ListingProblem.from_os_error(error, os.fsencode(name)))

    def _portion(self, files: list[FileEntry], *, last: bool) -> ListedDirectory:
        files.sort(key=_INO)
        counts = self._excluded, self._symlinks, self._special
        portion = ListedDirectory(self._path, files, self._problems, *counts, last, self._handle)
        self._problems = []
        self._excluded = self._symlinks = self._special = 0
        return portion


def _text(name: str) -> str:
    """Return a name that Python decoded in this locale in the form that rules match."""
    return name if _UTF8 else os.fsencode(name).decode("utf-8", "surrogateescape")
