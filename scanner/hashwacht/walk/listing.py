"""Listing one open directory in bounded memory: its files by portions, its subdirectories.

A directory may hold millions of names.  They stream through: a chunk of names is held, put
into the order of their inode numbers (on ext4 and XFS the order on the disk, where the names
come in the order of their hash), examined, and handed out at least every quarter of a second, so
that a consumer who wants to stop is never far from his turn.

The next subdirectories to go to, however many there are.
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
from hashwacht.platform.safe_open import OpenDirectory
from hashwacht.walk.rules import ExclusionRules

Key = tuple[int, bytes]
"""How the subdirectories of a directory are ordered: inode number, name."""


class Window:
    """The next *limit* subdirectories after the key *after*, however many are offered."""

    def __init__(self, after: Key | None, limit: int) -> None:
        """Start empty."""
        self._after, self._limit = after, limit
        self._keys: list[Key] = []
        self.more = False

    def offer(self, key: Key) -> None:
        """Keep *key* if it is one of the next."""
        if self._after is None or key > self._after:
            self._keys.append(key)
            if len(self._keys) >= 2 * self._limit:
                self._cut()

    def _cut(self) -> None:
        if not self._keys:
            return
        self._keys.sort()
        self.more = self.more or len(self._keys) > self._limit
        del self._keys[self._limit :]

    def keys(self) -> list[Key]:
        """Return them in descending order, so that ``pop()`` gives the next."""
        self._cut()
        return self._keys[::-1]


_BATCH = 64
"""Files between two looks at the clock."""

_FIELDS = attrgetter("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns", "st_nlink")
_entry = tuple.__new__
"""Without the detour over keywords: half the time, and there is one for every file."""
_INO = attrgetter("ino")
_INODE = methodcaller("inode")
_is_regular = stat.S_ISREG
_bytes = methodcaller("encode", sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())
"""What os.fsencode does, at half its time."""
_UTF8 = sys.getfilesystemencoding() == "utf-8"


@dataclass(frozen=True, slots=True)
class WalkLimits:
    """What a walk may hold at a time; the defaults cost some 20 MB at the very worst.

    *chunk* is in files of one directory, *portion* in seconds until a portion is handed out,
    *pending* in names of subdirectories still to go to, *kept* in open directories besides the
    root.  *path* is in bytes, four times what the kernel takes in one call: a directory below
    that is a problem, since the time for a chain of them grows with the square of its depth.
    """

    chunk: int = 10_000
    portion: float = 0.25
    pending: int = 50_000
    kept: int = 16
    path: int = 16_384


class FileEntry(NamedTuple):
    """A regular file in a directory, as it was when it was listed.

    A tuple of plain values, since there is one for every file of a server; *id* makes a FileId
    of them.  *nlink* is the number of its names (hard links).
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
        """What must be equal for the file to be called unchanged."""
        return FileId(self.dev, self.ino, self.size, self.mtime_ns, self.ctime_ns)

    @classmethod
    def from_stat(cls, name: bytes, found: os.stat_result) -> FileEntry:
        """Take over what lstat(2) says of *name*."""
        return _entry(cls, (name, *_FIELDS(found)))


class SkipReason(StrEnum):
    """Why something in the tree was not listed."""

    UNREADABLE = "unreadable"
    """The file system refused."""
    CHANGED = "changed-while-walked"
    """The directory was moved away before all below it had been listed."""
    TOO_DEEP = "too-deep"
    """The path has become longer than the walker follows."""
    OTHER_FILE_SYSTEM = "other-file-system"
    """A mount point, and other file systems were not asked for."""
    LOOP = "loop"
    """A mount of one of the directories above it: it has been listed already."""

    @property
    def loses_files(self) -> bool:
        """True if files that should have been scanned may lie behind it."""
        return self in {SkipReason.UNREADABLE, SkipReason.CHANGED, SkipReason.TOO_DEEP}


@dataclass(frozen=True, slots=True)
class ListingProblem:
    """Something that was not listed: an entry of the directory, or (*name* empty) itself."""

    name: bytes
    skip_reason: SkipReason
    detail: str

    @classmethod
    def from_os_error(cls, error: OSError, name: bytes = b"") -> ListingProblem:
        """Make one of what the file system said."""
        return cls(name, SkipReason.UNREADABLE, error.strerror or str(error))


class ListedDirectory(NamedTuple):
    """A portion of one directory; the whole of it unless *last* is False.

    *path* is absolute, its parts are as they were walked; *files* are the regular files that the
    rules let through, by ascending inode number.  The numbers count what this portion passed
    over: names (files and directories) that a rule excludes, symbolic links, and special files
    (FIFOs, sockets, devices).  Files can be opened until the walker is asked for the next value.
    """

    path: bytes
    files: list[FileEntry]
    problems: list[ListingProblem]
    excluded: int = 0
    symlinks: int = 0
    special: int = 0
    last: bool = True
    handle: OpenDirectory | None = None

    def open(self, entry: FileEntry) -> int:
        """Open a file of this portion for reading and return its descriptor.

        Raises Changed if another file is there now, OSError if it is gone or unreadable.
        """
        if self.handle is None:
            raise ValueError("nothing was listed here")
        return self.handle.file(entry.name, (entry.dev, entry.ino))


class ScandirIterator(Protocol):
    """What os.scandir gives."""

    def __iter__(self) -> Iterator[os.DirEntry[str]]:
        """Go on."""

    def close(self) -> None:
        """Close it."""


class Listing:
    """One pass over one open directory."""

    def __init__(
        self, path: bytes, handle: OpenDirectory, rules: ExclusionRules, bounds: WalkLimits
    ) -> None:
        """Nothing is read yet."""
        self._path, self._handle, self._bounds, self._rules = path, handle, bounds, rules
        self._no_file = rules.exclusion_test(path, directories=False)
        self._problems: list[ListingProblem] = []
        self._excluded = self._symlinks = self._special = 0

    @cached_property
    def _no_directory(self) -> Callable[[str], bool] | None:
        """Made when first needed: most directories have none in them."""
        return self._rules.exclusion_test(self._path, directories=True)

    def subdirectories(self, window: Window) -> None:
        """Offer all subdirectories to *window*, leave the files alone.  Raises OSError."""
        with os.scandir(self._handle.fd) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    self._offer(entry, window)

    def portions(self, window: Window) -> tuple[ListedDirectory, ...] | Iterator[ListedDirectory]:
        """List the files, and offer the subdirectories to *window* on the way.

        A tuple, and read to the end on return, if there are few files, as in most directories.
        """
        try:
            entries = os.scandir(self._handle.fd)
        except OSError as error:
            self._problems.append(ListingProblem.from_os_error(error))
            return (self._portion([], last=True),)
        found = self._wanted(entries, window)
        if len(found) > _BATCH or len(found) >= self._bounds.chunk:
            return self._chunks(entries, found, window)
        entries.close()
        found.sort(key=_INODE)
        return (self._portion(self._stat(found), last=True),)

    def _chunks(
        self, entries: ScandirIterator, found: list[os.DirEntry[str]], window: Window
    ) -> Iterator[ListedDirectory]:
        with closing(entries):
            while len(found) >= self._bounds.chunk:
                yield from self._examine(found, last=False)
                found = self._wanted(entries, window)
        yield from self._examine(found, last=True)

    def _wanted(self, entries: ScandirIterator, window: Window) -> list[os.DirEntry[str]]:
        """Take files that no rule excludes until the chunk is full; count or offer the others."""
        found: list[os.DirEntry[str]] = []
        most, no_file = self._bounds.chunk, self._no_file
        try:
            for entry in entries:
                try:
                    if not entry.is_file(follow_symlinks=False):
                        self._take_other(entry, window)
                    elif no_file and no_file(_text(entry.name)):
                        self._excluded += 1
                    else:
                        found.append(entry)
                        if len(found) >= most:
                            break
                except OSError as error:  # a file system that gives no types, and refuses to
                    self._problems.append(
                        ListingProblem.from_os_error(error, os.fsencode(entry.name))
                    )
        except OSError as error:
            self._problems.append(ListingProblem.from_os_error(error))
        return found

    def _take_other(self, entry: os.DirEntry[str], window: Window) -> None:
        if entry.is_dir(follow_symlinks=False):
            self._offer(entry, window)
        elif entry.is_symlink():
            self._symlinks += 1
        else:
            self._special += 1

    def _offer(self, entry: os.DirEntry[str], window: Window) -> None:
        no_directory = self._no_directory
        if no_directory and no_directory(_text(entry.name)):
            self._excluded += 1
        else:
            window.offer((entry.inode(), _bytes(entry.name)))

    def _examine(self, found: list[os.DirEntry[str]], *, last: bool) -> Iterator[ListedDirectory]:
        found.sort(key=_INODE)
        due = time.monotonic() + self._bounds.portion
        files: list[FileEntry] = []
        for start in range(0, len(found), _BATCH):
            files += self._stat(found[start : start + _BATCH])
            if time.monotonic() > due and start + _BATCH < len(found):
                yield self._portion(files, last=False)
                files = []
                due = time.monotonic() + self._bounds.portion
        yield self._portion(files, last=last)

    def _stat(self, entries: list[os.DirEntry[str]]) -> list[FileEntry]:
        files = []
        for entry in entries:
            try:
                now = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            except OSError as error:
                self._problems.append(ListingProblem.from_os_error(error, os.fsencode(entry.name)))
                continue
            if _is_regular(now.st_mode):
                files.append(_entry(FileEntry, (_bytes(entry.name), *_FIELDS(now))))
        return files

    def _portion(self, files: list[FileEntry], *, last: bool) -> ListedDirectory:
        files.sort(key=_INO)
        portion = ListedDirectory(
            self._path,
            files,
            self._problems,
            self._excluded,
            self._symlinks,
            self._special,
            last,
            self._handle,
        )
        self._problems = []
        self._excluded = self._symlinks = self._special = 0
        return portion


def _text(name: str) -> str:
    """Bring a name, as Python decoded it in this locale, into the form in which rules match."""
    return name if _UTF8 else os.fsencode(name).decode("utf-8", "surrogateescape")
