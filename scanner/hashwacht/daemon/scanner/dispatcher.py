"""Choosing what is read next: uploads first, and files that a walk found in the time that is left.

The journal is the queue.  An entry stays in it until everything is done, and a path is never handed
out twice at the same time.  A file that is written and closed over and over is read at growing
intervals: a log that grows every second would otherwise be read in full every second.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from hashwacht.core.watch_events import Lane
from hashwacht.daemon.scanner.roots import Roots
from hashwacht.daemon.scanner.runtime import Runtime, RuntimeHandle
from hashwacht.daemon.scanner.task_queue import TaskQueue
from hashwacht.daemon.scanner.threads import retry_until
from hashwacht.engine.compare import Freshness, required_freshness
from hashwacht.engine.read import FileContent, FileUnreadable, FileVanished
from hashwacht.pipeline import Pipeline
from hashwacht.platform.backoff import Backoff
from hashwacht.platform.filesystems.responsiveness import HANGING_RETRY, RESPONSE_PROBE
from hashwacht.settings import DaemonSettings
from hashwacht.storage.files import KnownFile
from hashwacht.storage.journal import JournalEntry
from hashwacht.storage.store import Store

REMEMBERED = 10_000
"""Recently read files that are remembered; 300 bytes each."""

CAPACITY = 256
"""Entries in progress at a time, and so open descriptors."""

MAX_OF_ACCOUNT = CAPACITY // 2
"""The most of them that may be uploads of one account."""

READERS = 32
"""Reader threads.  They mostly wait: for a worker, or for the kernel's clock after a write."""

MAX_READING = READERS - 8
"""Reader threads that one account may occupy."""

MAX_RECONCILED = 64
"""The most of them that may come from a walk."""

MAX_UNSETTLED = 2
"""The most of them that were read and may have changed since."""

UPLOAD_SHARE = 16
"""While uploads wait, one file of a walk is read after so many of them."""

CALM = 10.0
"""Seconds without an upload after which files of a walk may occupy all workers."""

AHEAD = 2
"""Files of a walk per worker then: one in progress, one waiting."""

OPEN_FACTOR = 10
"""How many times longer a file must be unchanged while a process has it open for writing."""

MAX_REST = 3600.0
"""The most seconds between two readings of a file that takes long to read."""

IDLE = 1.0
"""Seconds after which the journal is queried without a signal."""


def settle_backoff(settings: DaemonSettings) -> Backoff:
    """Return the delays between two readings of a file that keeps changing."""
    return Backoff(settings.settle_time, settings.max_settle_time)


@dataclass(frozen=True, slots=True)
class JournaledFile:
    """An entry of the journal that is to be read, and what the storage knows of its path."""

    entry: JournalEntry
    root: str
    directory: bytes
    name: bytes
    known: KnownFile | None


@dataclass(frozen=True, slots=True, eq=False)
class FilePostponed:
    """A file that is not settled, or that could not be read now; *due* is in Unix time.

    *deferred*: it no longer counts as an upload that waits.
    """

    file: JournaledFile
    due: float
    deferred: bool = False


ReadResult = (
    FileContent[JournaledFile]
    | FileUnreadable[JournaledFile]
    | FileVanished[JournaledFile]
    | FilePostponed
)


@dataclass(frozen=True, slots=True)
class ReadContext:
    """The pipeline, the requirements on stored results, and the roots that apply now."""

    pipeline: Pipeline
    freshness: Freshness
    roots: Roots


class ReadTask(NamedTuple):
    """A file for a reader; *runtime* is released when the result is recorded."""

    file: JournaledFile
    context: ReadContext
    runtime: Runtime

    @property
    def account(self) -> bytes:
        """The directory of the customer."""
        return self.file.entry.account


class RereadBackoff:
    """Remembers when files were read, and how often in a row.  Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reads: OrderedDict[bytes, tuple[float, int]] = OrderedDict()

    def record_read(self, path: bytes, backoff: Backoff) -> None:
        """Record that a file is read now; after a long enough pause the count starts over."""
        now = time.monotonic()
        with self._lock:
            last, times = self._reads.pop(path, (now, 0))
            again = now - last <= 2 * backoff.delay(max(times, 1))
            self._reads[path] = now, times + 1 if again else 1
            if len(self._reads) > REMEMBERED:
                self._reads.popitem(last=False)

    def remaining(self, path: bytes, backoff: Backoff) -> float:
        """Return the seconds until a file may be read again, 0 for now."""
        with self._lock:
            if path not in self._reads:
                return 0.0
            last, times = self._reads[path]
        return max(0.0, last + backoff.delay(times) - time.monotonic())


class Dispatcher:
    """Hands out entries that are due.  ``run`` in a thread of its own; the rest from any thread."""

    def __init__(
        self,
        store: Store,
        runtime: RuntimeHandle,
        stop: threading.Event,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Readers get their work from ``tasks``.  *clock* returns Unix time."""
        self.tasks: TaskQueue[ReadTask] = TaskQueue(MAX_READING)
        self.wakeup = threading.Event()
        self._store, self._runtime, self._stop, self._clock = store, runtime, stop, clock
        self._lock = threading.Lock()
        self._in_progress: dict[bytes, JournalEntry] = {}
        self._more = False
        self._reading: Counter[Lane] = Counter()
        self._large: set[bytes] = set()
        self._rereads = RereadBackoff()
        self._uploaded_at = -math.inf
        self.last_round = self._done_at = time.monotonic()
        self._uploads_in_a_row = 0

    @property
    def in_flight(self) -> int:
        """The number of entries in progress."""
        return len(self._in_progress)

    @property
    def has_uploads(self) -> bool:
        """True while an upload is being read: other work waits."""
        return self._reading[Lane.UPLOAD] > 0

    def run(self) -> None:
        """Hand out entries until the stop."""
        while not self._stop.is_set():
            self.wakeup.clear()
            if not retry_until(self._hand_out, self._stop, self._mark_alive):
                self.wakeup.wait(retry_until(self._idle_seconds, self._stop))

    def is_stuck(self, seconds: float) -> bool:
        """Return whether for so long no entry was finished, or the journal was not queried."""
        now = time.monotonic()
        unfinished = self._waits_for_progress and now - self._done_at > seconds
        return unfinished or now - self.last_round > seconds

    @property
    def _waits_for_progress(self) -> bool:
        """True if an entry is in progress that is not large: those may take an hour."""
        return len(self._in_progress) > len(self._large)

    def _mark_alive(self) -> None:
        self.last_round = time.monotonic()
        if not self._waits_for_progress:
            self._done_at = self.last_round

    def set_large(self, entry: JournalEntry) -> None:
        """Free the worker of an entry whose file is large: it is read beside all others."""
        with self._lock:
            self._large.add(entry.path)
            self._reading[entry.lane] -= 1
        self.wakeup.set()

    def read_finished(self, result: ReadResult) -> None:
        """Free the worker of an entry that was read."""
        entry, settings = result.file.entry, self._runtime.current.settings
        with self._lock:
            if entry.path in self._large:
                self._large.remove(entry.path)
            else:
                self._reading[entry.lane] -= 1
        if entry.lane is not Lane.UPLOAD:
            self.wakeup.set()
        elif isinstance(result, FileContent) and result.fingerprint is not None:
            self._rereads.record_read(entry.path, settle_backoff(settings))

    def done(self, results: Iterable[ReadResult], runtime: Runtime) -> None:
        """Finish entries whose results are recorded; those still in the journal are due again."""
        again = self._more
        for result in results:
            with self._lock:
                del self._in_progress[result.file.entry.path]
            self._runtime.release(runtime)
            again = again or isinstance(result, FilePostponed)
        self._done_at = time.monotonic()
        if again:
            self.wakeup.set()

    def _hand_out(self) -> bool:
        with self._runtime.borrow() as runtime:
            now = self._check_clock(runtime)
            context: ReadContext | None = None
            for entry in self._choose(runtime, now):
                root = runtime.roots.scanned_root(entry.path)
                if root is None:  # the configuration has changed since the announcement
                    self._store.journal.remove([entry])
                    continue
                if RESPONSE_PROBE.is_hanging(root.path):
                    self._store.journal.postpone({entry: now + HANGING_RETRY})
                    continue
                context = context or ReadContext(
                    runtime.pipeline,
                    required_freshness(self._store, runtime.pipeline, now),
                    runtime.roots,
                )
                self._put(entry, root.name, context)
            return context is not None

    def _check_clock(self, runtime: Runtime) -> float:
        """Return the time; if the clock was set back, entries do not wait for the old time.

        Other threads may record entries with a time that they read before the clock was set.
        """
        now, settings = self._clock(), runtime.settings
        longest = max(settings.max_settle_time, OPEN_FACTOR * settings.settle_time)
        journal = self._store.journal
        journal.make_late_due(now + longest, now, (Lane.UPLOAD, Lane.RECONCILE))
        journal.make_late_due(now + MAX_REST, now, (Lane.UNSETTLED,))
        return now

    def _choose(self, runtime: Runtime, now: float) -> list[JournalEntry]:
        room = CAPACITY - len(self._in_progress)
        self._more = room < CAPACITY // 4
        if self._more:
            return []
        uploads = self._postpone_rereads(self._load_free(Lane.UPLOAD, now, room), runtime, now)
        if uploads:
            self._uploaded_at = time.monotonic()
            self._uploads_in_a_row += len(uploads)
        reconciled = min(self._reconcile_slots(runtime), room - len(uploads))
        if uploads and self._uploads_in_a_row < UPLOAD_SHARE:
            reconciled = 0
        elif uploads:
            reconciled, self._uploads_in_a_row = min(reconciled, 1), 0
        walked = self._load_free(Lane.RECONCILE, now, max(0, reconciled))
        unsettled = min(
            MAX_UNSETTLED - self._in_lane(Lane.UNSETTLED), room - len(uploads) - len(walked)
        )
        again = self._load_free(Lane.UNSETTLED, now, max(0, unsettled))
        # An entry that has changed its lane meanwhile may have been loaded twice.
        return [*{entry.path: entry for entry in [*again, *walked, *uploads]}.values()]

    def _reconcile_slots(self, runtime: Runtime) -> int:
        """Return how many files of a walk may start; one worker stays free for uploads."""
        calm = time.monotonic() - self._uploaded_at > CALM
        workers = AHEAD * runtime.jobs if calm else max(1, runtime.jobs - 1)
        in_progress = self._in_lane(Lane.RECONCILE)
        return min(workers - self._reading[Lane.RECONCILE], MAX_RECONCILED - in_progress)

    def _in_lane(self, lane: Lane) -> int:
        entries = [entry for path, entry in [*self._in_progress.items()] if path not in self._large]
        return [entry.lane for entry in entries].count(lane)

    def _load_free(self, lane: Lane, now: float, limit: int) -> list[JournalEntry]:
        """Return entries that are due and not in progress, and note whether more are left."""
        with self._lock:
            in_progress = dict(self._in_progress)
        due = self._store.journal.load_due(lane, now, limit + len(in_progress) + 1)
        changed = any(entry != in_progress.get(entry.path, entry) for entry in due)
        accounts = Counter(entry.account for entry in in_progress.values())
        free: list[JournalEntry] = []
        for entry in due:
            if entry.path not in in_progress and accounts[entry.account] < MAX_OF_ACCOUNT:
                accounts[entry.account] += 1
                free.append(entry)
        limited = any(number >= MAX_OF_ACCOUNT for number in accounts.values())
        self._more = self._more or len(free) > limit or changed or limited
        return free[:limit]

    def _postpone_rereads(
        self, entries: list[JournalEntry], runtime: Runtime, now: float
    ) -> list[JournalEntry]:
        backoff = settle_backoff(runtime.settings)
        remaining = {entry: self._rereads.remaining(entry.path, backoff) for entry in entries}
        postponed = {entry: now + seconds for entry, seconds in remaining.items() if seconds}
        if postponed:
            self._store.journal.postpone(postponed)
        return [entry for entry in entries if entry not in postponed]

    def _put(self, entry: JournalEntry, root: str, context: ReadContext) -> None:
        directory, name = os.path.split(entry.path)
        known = self._store.files.load(directory, name)
        file = JournaledFile(entry, root, directory, name, known)
        with self._lock:
            self._in_progress[entry.path] = entry
            self._reading[entry.lane] += 1
        self.tasks.put(ReadTask(file, context, self._runtime.acquire()))

    def _idle_seconds(self) -> float:
        now = self._clock()
        due = [self._store.journal.next_due(lane, now) for lane in Lane]
        return max(0.0, min([IDLE, *(at - now for at in due if at is not None)]))
