"""The walking side of a scan: compare every file with the storage, open what has to be read.

A file with several hard links is read once.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from operator import attrgetter

from hashwacht.core.errors import Interrupted
from hashwacht.core.types import FileId, Outcome, Reason, Verdict
from hashwacht.engine.compare import DirectoryComparer, Freshness, unscanned
from hashwacht.engine.read import FileContent, FileUnreadable, FileVanished, OpenFile, unreadable
from hashwacht.platform.safe_open import LEASE_WAIT, MAX_LEASE_BREAK, FileChanged
from hashwacht.scan.tally import ScanStage, Tally, Timings
from hashwacht.settings.units import RateLimit, RateUnit
from hashwacht.storage.files import KnownFile
from hashwacht.storage.store import Store
from hashwacht.walk.listing import FileEntry, ListedDirectory
from hashwacht.walk.walk import Walker

FLUSH_INTERVAL = 0.2
"""Seconds between two messages about unchanged directories; one each costs more than the check."""

LEASE_BUDGET = 300.0
"""Seconds that a scan waits in all for files on which other processes hold leases; then hardly any
more, and such files are undetermined."""

MAX_SMALL_SIZE = 256 << 10
"""Bytes up to which files are read together, if they are no pictures."""

SMALL_BATCH = 32
"""Small files that are read together, in one request to a worker."""

_NO_MATCH = Verdict(Outcome.NO_MATCH)
_SIZE = attrgetter("size")


@dataclass(slots=True, eq=False)
class DirectoryProgress:
    """The state of one directory in a scan; changed by the recorder's thread only.

    The directory is done when the walker has *listed* all of it and as many files are *settled*
    as were *expected*.
    """

    path: bytes
    tally: Tally = field(default_factory=Tally)
    settled: int = 0
    expected: int = 0
    listed: bool = False

    @property
    def done(self) -> bool:
        """True when no result of this directory is outstanding."""
        return self.listed and self.settled == self.expected


@dataclass(frozen=True, slots=True)
class WalkedFile:
    """A name in a directory, and the file behind it when the directory was listed.

    *previous_content* is the number of the content that the storage has for the name, if any.
    """

    work: DirectoryProgress
    name: bytes
    id: FileId
    nlink: int
    previous_content: int | None = None

    @property
    def directory(self) -> bytes:
        """Absolute path of the directory."""
        return self.work.path

    @property
    def path(self) -> bytes:
        """Absolute path, as walked."""
        return self.work.path.rstrip(b"/") + b"/" + self.name


@dataclass(frozen=True, slots=True)
class DirectoryListed:
    """A part of a directory was listed, and *expected* results of its files will follow.

    *tally* counts the files that need no result, *vanished* are stored names that no longer
    exist, *last* marks the final part.
    """

    work: DirectoryProgress
    tally: Tally
    expected: int
    vanished: tuple[bytes, ...]
    last: bool


@dataclass(frozen=True, slots=True)
class DirectoriesUnchanged:
    """Whole directories, by their *numbers* in the storage, in which nothing has changed.

    *tally* counts all their files, *path* is the last one.
    """

    numbers: tuple[int, ...]
    tally: Tally
    path: bytes


@dataclass(frozen=True, slots=True)
class DirectoryUnreadable:
    """A directory, or a part of the tree, that could not be listed."""

    path: bytes
    detail: str


FileResult = FileContent[WalkedFile] | FileUnreadable[WalkedFile] | FileVanished[WalkedFile]
ScanMessage = FileResult | DirectoryListed | DirectoriesUnchanged | DirectoryUnreadable
ReadBatch = Sequence[OpenFile[WalkedFile]]
"""Files that one reader takes at once; it closes their descriptors."""


class HardLinks:
    """The files with several hard links that are being read.  Thread-safe, bounded.

    The first name of a file claims it; further names wait for the result.  Release a file after
    its result was committed, so that a later claim finds it in the storage.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[FileId, list[WalkedFile]] = {}

    def claim(self, file: WalkedFile) -> bool:
        """Return True if *file* must be read; otherwise it shares the result of another name."""
        with self._lock:
            if file.id in self._waiting:
                self._waiting[file.id].append(file)
                return False
            self._waiting[file.id] = []
            return True

    def release(self, file: WalkedFile) -> list[WalkedFile]:
        """End the claim and return the names that waited."""
        with self._lock:
            return self._waiting.pop(file.id, [])


class RateLimiter:
    """Limits reading to a number of files or bytes per second.  Not thread-safe.

    A pause does not allow a burst afterwards.  *wait* is called with the seconds to pass and may
    return early when the scan is stopped.
    """

    def __init__(
        self,
        limit: RateLimit,
        wait: Callable[[float], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit, self._wait, self._clock = limit, wait, clock
        self._free_at = clock()

    def take(self, size: int) -> None:
        """Wait until one more file of *size* bytes may be read."""
        now = self._clock()
        if self._free_at > now:
            self._wait(self._free_at - now)
        cost = (1 if self._limit.unit is RateUnit.FILES else size) / self._limit.amount
        self._free_at = max(self._free_at, now) + cost


class SmallFiles:
    """Collects small open files and passes them on together, within FLUSH_INTERVAL."""

    def __init__(self, put: Callable[[ReadBatch], None], size: int) -> None:
        """Call *put* with up to *size* files."""
        self._put, self._size = put, size
        self._files: list[OpenFile[WalkedFile]] = []
        self._due = 0.0

    def add(self, file: OpenFile[WalkedFile]) -> None:
        """Add a file, and pass all on if there are enough."""
        if not self._files:
            self._due = time.monotonic() + FLUSH_INTERVAL
        self._files.append(file)
        if len(self._files) >= self._size:
            self.flush()

    def flush_due(self) -> None:
        """Pass on files that have waited long enough."""
        if self._files and time.monotonic() > self._due:
            self.flush()

    def flush(self) -> None:
        """Pass on all files."""
        if self._files:
            files, self._files = self._files, []
            self._put(files)

    def close(self) -> None:
        """Close the files that were not passed on."""
        while self._files:
            os.close(self._files.pop().fd)


class SkippedDirectories:
    """Collects unchanged directories and passes them to the recorder from time to time."""

    def __init__(self, put: Callable[[DirectoriesUnchanged], None]) -> None:
        self._put = put
        self._start()

    def _start(self) -> None:
        self._numbers: list[int] = []
        self._tally, self._path = Tally(), b""
        self._due = time.monotonic() + FLUSH_INTERVAL

    def add(self, number: int, directory: ListedDirectory) -> None:
        """Count an unchanged directory."""
        self._numbers.append(number)
        self._path = directory.path
        self._tally.files += len(directory.files)
        self._tally.size += sum(map(_SIZE, directory.files))
        self._tally.excluded += directory.excluded
        if time.monotonic() > self._due:
            self.flush()

    def flush(self) -> None:
        """Pass on what was counted since the last time."""
        if self._numbers:
            tally = self._tally
            tally.unchanged = tally.outcomes[Outcome.NO_MATCH] = tally.files
            self._put(DirectoriesUnchanged(tuple(self._numbers), tally, self._path))
        self._start()


class ScanWalker:
    """Walks the roots of a scan and passes on what has to be done.  Used by one thread."""

    def __init__(
        self,
        *,
        store: Store,
        freshness: Freshness,
        is_reread: Callable[[bytes], bool],
        tasks: queue.Queue[ReadBatch | None],
        small_tasks: queue.Queue[ReadBatch | None],
        put: Callable[[ScanMessage], None],
        links: HardLinks,
        limiter: RateLimiter | None,
        stop: threading.Event,
        timings: Timings,
    ) -> None:
        """Put open files into *tasks* for the readers, and messages to the recorder by *put*.

        Small files go to *small_tasks*, many at a time unless the rate is limited.

        Files in a directory for which *is_reread* is true are read although they look unchanged.
        """
        self._is_reread = is_reread
        self._store, self._freshness, self._links = store, freshness, links
        self._tasks, self._put, self._limiter, self._stop = tasks, put, limiter, stop
        self._small = SmallFiles(small_tasks.put, 1 if limiter else SMALL_BATCH)
        self._timings, self._lookup_seconds = timings, 0.0
        self._comparer = DirectoryComparer(store, freshness)
        self._skipped = SkippedDirectories(put)
        self._lease_budget = LEASE_BUDGET

    def walk(self, walker: Walker) -> int:
        """Walk one root and return the number of its files.

        Raises Interrupted when stopped, UsageError for an invalid root.
        """
        work: DirectoryProgress | None = None
        files = 0
        with closing(self._small), closing(walker.walk()) as directories:
            for directory in self._timings.measure_iteration(ScanStage.WALK, directories):
                self._check_stop()
                self._small.flush_due()
                files += len(directory.files)
                if self._skip(directory):
                    continue
                if work is None or work.path != directory.path:
                    work = DirectoryProgress(directory.path)
                self._compare(directory, work)
                if directory.last:
                    work = None
            self._small.flush()
        self._skipped.flush()
        self._timings.add(ScanStage.LOOKUP, self._lookup_seconds)
        self._lookup_seconds = 0.0
        return files

    def _skip(self, directory: ListedDirectory) -> bool:
        if self._freshness.full or self._is_reread(directory.path):
            return False
        began = time.perf_counter()
        number = self._comparer.find_unchanged(directory)
        if number is not None:
            self._skipped.add(number, directory)
        self._lookup_seconds += time.perf_counter() - began
        return number is not None

    def _compare(self, directory: ListedDirectory, work: DirectoryProgress) -> None:
        tally = Tally(excluded=directory.excluded)
        known, vanished = self._comparer.compare(directory)
        expected, reread = 0, self._is_reread(directory.path)
        for entry in directory.files:
            self._check_stop()
            tally.files += 1
            tally.size += entry.size
            stored = known.get(entry.name)
            previous_content = stored.content if stored else None
            file = WalkedFile(work, entry.name, entry.id, entry.nlink, previous_content)
            reusable = self._freshness.is_reusable(stored, file.id) and not reread
            if stored and reusable and self._freshness.is_settled(stored):
                tally.unchanged += 1
                tally.count_verdict(_NO_MATCH)
            else:
                expected += 1
                self._pass_on(directory, entry, file, stored if reusable else None)
        for path, problem in unscanned(directory):
            self._put(DirectoryUnreadable(path, f"{problem.skip_reason}: {problem.detail}"))
        for problem in directory.problems:
            if problem.skip_reason.leaves_out_files:
                tally.count_left_out(directory.path, problem.detail)
            elif not problem.skip_reason.loses_files:
                tally.excluded += 1
        self._put(DirectoryListed(work, tally, expected, vanished, directory.last))

    def _pass_on(
        self,
        directory: ListedDirectory,
        entry: FileEntry,
        file: WalkedFile,
        known: KnownFile | None,
    ) -> None:
        """Pass a file to the recorder if its content is stored, otherwise to the readers."""
        if known is not None:
            self._put(_stored(file, known.content, recorded=True))
        elif file.nlink == 1 or self._links.claim(file):
            linked = self._freshness.find_linked_content(self._store.files, file.id, file.nlink)
            if linked is None:
                self._open(directory, entry, file)
                return
            for name in (file, *self._links.release(file)):
                self._put(_stored(name, linked, recorded=False))

    def _open(self, directory: ListedDirectory, entry: FileEntry, file: WalkedFile) -> None:
        if self._limiter:
            self._limiter.take(file.id.size)
            self._check_stop()
        try:
            fd = self._open_waiting(directory, entry)
        except FileNotFoundError:
            self._put(FileVanished(file))
            for other in self._links.release(file):
                self._put(_changed(other, "another hard link of it vanished before it was read"))
        except OSError as error:
            self._put(unreadable(file, file.id, file.nlink, error))
        except FileChanged as error:
            self._put(_changed(file, error.message))
        else:
            opened = OpenFile(file, fd, file.id, file.nlink)
            if file.id.size <= MAX_SMALL_SIZE:
                self._small.add(opened)
            else:
                self._small.flush_due()
                self._tasks.put((opened,))

    def _open_waiting(self, directory: ListedDirectory, entry: FileEntry) -> int:
        """Open a file; wait for leases of other processes, for a limited time in all."""
        began = time.monotonic()
        try:
            return directory.open(entry, min(MAX_LEASE_BREAK, self._lease_budget))
        finally:
            waited = time.monotonic() - began
            if waited > LEASE_WAIT:
                self._lease_budget = max(LEASE_WAIT, self._lease_budget - waited)

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise Interrupted("the scan was stopped")


def _stored(file: WalkedFile, content: int | None, *, recorded: bool) -> FileContent[WalkedFile]:
    return FileContent(file, file.id, file.nlink, content=content, recorded=recorded)


def _changed(file: WalkedFile, detail: str) -> FileUnreadable[WalkedFile]:
    return FileUnreadable(file, file.id, file.nlink, Reason.CHANGED, detail)
