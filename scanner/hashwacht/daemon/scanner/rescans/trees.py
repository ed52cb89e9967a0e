"""Walking directories and journaling what differs from the storage.  No file is read here.

A walk is needed for a directory that was announced as a whole, because it was moved here or filled
before it was watched, and by the reconciler.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field

from hashwacht.core.errors import Interrupted, UsageError
from hashwacht.core.paths import escape_path
from hashwacht.core.types import FileId, Outcome
from hashwacht.core.watch_events import Announcement, Cause, Lane, MissedEvents, account_directory
from hashwacht.daemon.scanner.roots import WatchedRoot
from hashwacht.daemon.scanner.runtime import Runtime, RuntimeHandle
from hashwacht.daemon.scanner.threads import Backpressure, retry_until
from hashwacht.engine.compare import DirectoryComparer, Freshness, required_freshness, unscanned
from hashwacht.platform.filesystems.mounts import FileSystemScope
from hashwacht.platform.filesystems.responsiveness import HANGING_RETRY, RESPONSE_PROBE
from hashwacht.settings import UndeterminedAction
from hashwacht.storage.files import KnownFile
from hashwacht.storage.journal import JournalEntry
from hashwacht.storage.store import Store
from hashwacht.walk.listing import ListedDirectory, SkipReason
from hashwacht.walk.walk import Walker
from hashwacht.walk.walk_stack import GONE_ERRNOS

_log = logging.getLogger(__name__)

MAX_UNLISTED = 100
"""Directories that are named one by one if they could not be listed."""

IDLE = 1.0
"""Seconds after which the journal is queried without a signal."""

MAX_UPLOAD_SECONDS = 2.0
"""Seconds of walking after which a directory no longer counts as an upload."""


@dataclass(slots=True)
class CompareResult:
    """The files that a walk met and announced, and the directories that it could not list.

    *complete* is False if the directory does not exist, or a symbolic link is in its path.
    """

    files: int = 0
    announced: int = 0
    unlisted: list[tuple[bytes, str]] = field(default_factory=list)
    complete: bool = True


class Comparison:
    """Compares one directory of a root with the storage.  ``walk`` once, in one thread."""

    def __init__(
        self,
        store: Store,
        root: WatchedRoot,
        freshness: Freshness,
        *,
        is_reread: Callable[[bytes], bool],
        lane: Lane,
        clock: Callable[[], float],
        stop: threading.Event,
        step: Callable[[], None],
    ) -> None:
        """All files of a directory for which *is_reread* is true are announced.

        *step* is called after each directory and may block, to let other work go first.
        """
        self._store, self._root, self._freshness, self._lane = store, root, freshness, lane
        self._is_reread = is_reread
        self._clock, self._stop, self._step = clock, stop, step
        self._comparer = DirectoryComparer(store, freshness)
        self._result = CompareResult()

    def walk(self, path: bytes) -> CompareResult:
        """Walk the directory.  Raises Interrupted, OSError if it cannot be opened."""
        if os.path.realpath(path) != path:
            self._result.complete = False
            return self._result
        walker = Walker(path, self._root.walk_rules, scope=FileSystemScope.ALL)
        try:
            with closing(walker.walk()) as directories:
                for directory in directories:
                    self._compare(directory)
                    self._step()
                    if self._stop.is_set():
                        raise Interrupted("the daemon was stopped")
        except (UsageError, OSError) as error:
            if isinstance(error, OSError) and error.errno not in GONE_ERRNOS:
                raise
            self._result.complete = False
        return self._result

    def _compare(self, directory: ListedDirectory) -> None:
        self._result.files += len(directory.files)
        reread = self._is_reread(directory.path)
        if not reread and self._comparer.find_unchanged(directory) is not None:
            return
        for path, problem in unscanned(directory):
            if problem.skip_reason is SkipReason.TOO_DEEP:
                # No process can open a file there by its path: no walk would ever close the gap.
                _log.warning("%s is not examined: %s", escape_path(path[:200]), problem.detail)
            elif len(self._result.unlisted) < MAX_UNLISTED:
                self._result.unlisted.append((path, problem.detail))
        known, vanished = self._comparer.compare(directory)
        prefix = directory.path.rstrip(b"/") + b"/"
        differing = [
            Announcement(
                self._root.name,
                prefix + entry.name,
                account=account_directory(self._root.path, prefix + entry.name),
            )
            for entry in directory.files
            if reread or not self._is_done(known.get(entry.name), entry.id)
        ]
        self._result.announced += len(differing)
        if differing or vanished:
            retry_until(lambda: self._record(directory.path, differing, vanished), self._stop)

    def _is_done(self, known: KnownFile | None, file: FileId) -> bool:
        """Return whether a file is unchanged and everything its verdict requires was done.

        A pending content is rechecked without the file, but the file may have to be held meanwhile.
        """
        if known is None or known.knowledge_id is None:
            return False
        if not self._freshness.is_reusable(known, file):
            return False
        if known.outcome is Outcome.UNDETERMINED:
            return self._root.settings.on_undetermined is not UndeterminedAction.HOLD
        return known.outcome is Outcome.NO_MATCH

    def _record(
        self, path: bytes, differing: list[Announcement], vanished: tuple[bytes, ...]
    ) -> None:
        with self._store.transaction():
            self._store.journal.record(differing, self._lane, self._clock())
            self._store.files.remove(path, vanished)


class _TooLarge(Exception):
    """A directory takes too long to count as an upload."""


class TreeWalker:
    """Walks the announced directories of one lane.  ``run`` in a thread of its own.

    A directory of the upload lane that takes too long moves to the other lane, so that a large
    archive that is moved in does not delay uploads.
    """

    def __init__(
        self,
        store: Store,
        runtime: RuntimeHandle,
        stop: threading.Event,
        *,
        lane: Lane,
        has_uploads: Callable[[], bool],
        on_work: Callable[[], None],
        clock: Callable[[], float] = time.time,
        max_upload_seconds: float = MAX_UPLOAD_SECONDS,
    ) -> None:
        """*on_work* is called when the journal may have new entries.

        Set ``wakeup`` when a directory was announced.
        """
        self.wakeup = threading.Event()
        self._store, self._runtime, self._stop = store, runtime, stop
        self._lane, self._on_work, self._clock = lane, on_work, clock
        self._max_upload_seconds = max_upload_seconds
        self._backpressure = Backpressure(store, lane, stop, has_uploads)

    def run(self) -> None:
        """Walk directories until the stop."""
        while not self._stop.is_set():
            self.wakeup.clear()
            entries = retry_until(
                lambda: self._store.journal.load_due_trees(self._lane, self._clock(), 1), self._stop
            )
            for entry in entries:
                with self._runtime.borrow() as runtime:
                    self._walk(entry, runtime)
            if not entries:
                self.wakeup.wait(IDLE)

    def _walk(self, entry: JournalEntry, runtime: Runtime) -> None:
        root = runtime.roots.innermost(entry.path)
        if root is not None and RESPONSE_PROBE.is_hanging(root.path):
            later = {entry: self._clock() + HANGING_RETRY}
            retry_until(lambda: self._store.journal.postpone(later), self._stop)
            return
        result = CompareResult()
        if root is not None:
            try:
                result = self._compare(entry, root, runtime)
            except _TooLarge:
                retry_until(lambda: self._store.journal.defer(entry), self._stop)
                return
            except OSError as error:
                result.unlisted.append((entry.path, error.strerror or str(error)))
        retry_until(lambda: self._settle(entry, result), self._stop)
        self._on_work()

    def _compare(self, entry: JournalEntry, root: WatchedRoot, runtime: Runtime) -> CompareResult:
        """Walk.  Raises _TooLarge, OSError."""
        until = time.monotonic() + self._max_upload_seconds

        def step() -> None:
            nonlocal until
            self._on_work()
            before = time.monotonic()
            if self._lane is Lane.UPLOAD and before > until:
                raise _TooLarge
            self._backpressure.step(runtime.settings.max_backlog)
            until += time.monotonic() - before

        comparison = Comparison(
            self._store,
            root,
            required_freshness(self._store, runtime.pipeline, self._clock()),
            # What is new at this place is read, whatever is known of a file with its identity.
            is_reread=lambda _directory: True,
            lane=self._lane,
            clock=self._clock,
            stop=self._stop,
            step=step,
        )
        return comparison.walk(entry.path)

    def _settle(self, entry: JournalEntry, result: CompareResult) -> None:
        with self._store.transaction():
            for path, detail in result.unlisted:
                missed = MissedEvents(entry.root, Cause.UNLISTED, detail, path)
                self._store.gaps.record(missed, entry.announced, None)
            self._store.journal.remove([entry])
