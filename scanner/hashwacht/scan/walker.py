"""The walking side of a scan: look at every name once, and read only what has to be read.

Hard links: several names, one file, read once.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Generic, TypeVar

from hashwacht.core.errors import Interrupted
from hashwacht.core.types import FileId, Outcome, Reason, Verdict
from hashwacht.platform.safe_open import FileChanged
from hashwacht.scan.directory_skipper import DirectorySkipper, vanished_names
from hashwacht.scan.freshness import Freshness
from hashwacht.scan.messages import (
    DirectoryListed,
    DirectoryProgress,
    DirectoryUnreadable,
    FileKnown,
    FileUnreadable,
    FileVanished,
    ScanMessage,
    WalkedFile,
)
from hashwacht.scan.request import RateLimiter
from hashwacht.scan.tally import Tally
from hashwacht.scan.timings import ScanStage, Timings
from hashwacht.storage.files import KnownFile
from hashwacht.storage.store import Store
from hashwacht.walk.listing import FileEntry, ListedDirectory
from hashwacht.walk.walk import Walker

Name = TypeVar("Name")


class HardLinks(Generic[Name]):
    """Which files with several names are being read at this moment.  Thread-safe, bounded.

    Whoever meets such a file first claims it and reads it; names met while it is being read
    wait for that result.  *released* must be called after the result was committed, so that a
    later claim finds it in the state.
    """

    def __init__(self) -> None:
        """Begin with nothing being read."""
        self._lock = threading.Lock()
        self._waiting: dict[FileId, list[Name]] = {}

    def claim(self, file: FileId, name: Name) -> bool:
        """Ask for a file: True, read it; False, *name* will share the read that is running."""
        with self._lock:
            if file in self._waiting:
                self._waiting[file].append(name)
                return False
            self._waiting[file] = []
            return True

    def release(self, file: FileId) -> list[Name]:
        """End the claim; give all names that waited."""
        with self._lock:
            return self._waiting.pop(file, [])


@dataclass(frozen=True, slots=True)
class ReadTask:
    """A file to be read: the reader owns the open descriptor and closes it."""

    file: WalkedFile
    fd: int


class ScanWalker:
    """Walks one root and hands out what is to be done.  Used by one thread."""

    def __init__(
        self,
        *,
        store: Store,
        freshness: Freshness,
        tasks: queue.Queue[ReadTask | None],
        put: Callable[[ScanMessage], None],
        links: HardLinks[WalkedFile],
        pace: RateLimiter | None,
        stop: threading.Event,
        timings: Timings,
    ) -> None:
        """Take the two queues: *tasks* for the readers, *put* for the recorder."""
        self._spent, self._asked = timings, 0.0
        self._store, self._wanted, self._links = store, freshness, links
        self._tasks, self._put, self._pace, self._stop = tasks, put, pace, stop
        self._passing = DirectorySkipper(
            store.unchanged_directories(freshness.verdict_requirement), put
        )

    def walk(self, walker: Walker) -> None:
        """Walk it all.  Raises Interrupted when asked to stop, UsageError for a wrong root."""
        work: DirectoryProgress | None = None
        with closing(walker.walk()) as directories:
            for directory in self._spent.measure_iteration(ScanStage.WALK, directories):
                self._check_stop()
                if work is None and directory.last and self._passes(directory):
                    continue
                if work is None or work.path != directory.path:
                    work = DirectoryProgress(directory.path)
                self._portion(directory, work)
                if directory.last:
                    work = None
        self._passing.flush()
        self._spent.add(ScanStage.LOOKUP, self._asked)
        self._asked = 0.0

    def _passes(self, directory: ListedDirectory) -> bool:
        """Say if a whole directory needs nothing; a full scan reads it all the same."""
        if self._wanted.full:
            return False
        began = time.perf_counter()
        passed = self._passing.skip_if_unchanged(directory)
        self._asked += time.perf_counter() - began
        return passed

    def _portion(self, directory: ListedDirectory, work: DirectoryProgress) -> None:
        """Take a portion of a directory: what is known is counted, the rest handed out."""
        tally = Tally(excluded=directory.excluded)
        files = self._store.files
        known = files.load_directory(work.path, [entry.name for entry in directory.files])
        expected = 0
        for entry in directory.files:
            self._check_stop()
            tally.files += 1
            tally.size += entry.size
            before, id_ = known.get(entry.name), entry.id
            if before and self._wanted.is_reusable(before, id_) and self._wanted.settled(before):
                tally.unchanged += 1
                tally.count_verdict(_NO_MATCH)
            else:
                expected += 1
                self._hand_out(
                    directory, entry, WalkedFile(work, entry.name, id_, entry.nlink), before
                )
        for problem in directory.problems:
            if problem.skip_reason.loses_files:
                self._put(
                    DirectoryUnreadable(
                        _path(directory, problem.name), f"{problem.skip_reason}: {problem.detail}"
                    )
                )
            else:
                tally.excluded += 1
        gone = vanished_names(files, directory)
        self._put(DirectoryListed(work, tally, expected, tuple(gone), directory.last))

    def _hand_out(
        self,
        directory: ListedDirectory,
        entry: FileEntry,
        file: WalkedFile,
        before: KnownFile | None,
    ) -> None:
        """Send one file where it belongs: to the recorder if its content is known, else read."""
        if before and before.content is not None and self._wanted.is_reusable(before, file.id):
            self._put(FileKnown(file, before.content, new=False))
        elif file.nlink == 1 or self._links.claim(file.id, file):
            linked = self._linked(file)
            if linked is None:
                self._read(directory, entry, file)
                return
            for each in (file, *self._links.release(file.id)):
                self._put(FileKnown(each, linked, new=True))

    def _linked(self, file: WalkedFile) -> int | None:
        """Find the content under another name of the same file, which costs no read."""
        if file.nlink == 1:
            return None
        other = self._store.files.load_by_inode(file.id.dev, file.id.ino)
        return other.content if other and self._wanted.is_reusable(other, file.id) else None

    def _read(self, directory: ListedDirectory, entry: FileEntry, file: WalkedFile) -> None:
        """Open one file and queue it for the readers, at the allowed pace."""
        if self._pace:
            self._pace.take(file.id.size)
            self._check_stop()
        try:
            fd = directory.open(entry)
        except FileNotFoundError:
            self._put(FileVanished(file))
            for other in self._links.release(file.id):
                self._put(
                    FileUnreadable(other, Reason.CHANGED, "another name of it vanished unread")
                )
        except OSError as error:
            self._put(FileUnreadable(file, Reason.UNREADABLE, error.strerror or str(error)))
        except FileChanged as error:
            self._put(FileUnreadable(file, Reason.CHANGED, error.message))
        else:
            self._tasks.put(ReadTask(file, fd))

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise Interrupted("the scan was stopped")


_NO_MATCH = Verdict(Outcome.NO_MATCH)


def _path(directory: ListedDirectory, name: bytes) -> bytes:
    return os.path.join(directory.path, name) if name else directory.path  # noqa: PTH118  # bytes
