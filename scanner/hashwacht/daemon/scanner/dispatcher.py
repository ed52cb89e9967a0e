"""Who is read next: uploads before everything else, and what a walk found beside them.

The journal is the queue.  What is handed out stays in it until all is done; a path is never
handed out twice at a time.

Files that are written and closed over and over: each further reading has to wait longer.

A log that is appended to every second would otherwise be read wholly every second.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from queue import SimpleQueue

from hashwacht.core.watch_events import Lane
from hashwacht.daemon.scanner.file_reader import (
    OPEN_TIMES,
    ContentRead,
    ReadContext,
    ReadOutcome,
    ReadPostponed,
    ReadTask,
    backoff_delay,
)
from hashwacht.daemon.scanner.runtime import Runtime, RuntimeHandle
from hashwacht.daemon.scanner.threads import retry_until
from hashwacht.scan.freshness import required_freshness
from hashwacht.storage.journal import JournalEntry
from hashwacht.storage.store import Store

REMEMBERED = 10_000
"""Files at the most; 300 bytes each."""


class RereadBackoff:
    """Remembers when files were read last, and how often in short order.  Thread-safe."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._lock = threading.Lock()
        self._read: OrderedDict[bytes, tuple[float, int]] = OrderedDict()

    def record_read(self, path: bytes, quiet: float, busy: float) -> None:
        """Note that a file is read now; a quiet while makes it a fresh one."""
        now = time.monotonic()
        with self._lock:
            last, times = self._read.pop(path, (now, -1))
            again = now - last <= 2 * backoff_delay(quiet, busy, max(times, 0))
            self._read[path] = now, times + 1 if again else 0
            if len(self._read) > REMEMBERED:
                self._read.popitem(last=False)

    def remaining(self, path: bytes, quiet: float, busy: float) -> float:
        """Say in how many seconds a file may be read once more; 0: now."""
        with self._lock:
            if path not in self._read:
                return 0.0
            last, times = self._read[path]
        return max(0.0, last + backoff_delay(quiet, busy, times) - time.monotonic())


CAPACITY = 256
"""Entries on their way at a time, and so descriptors that are open."""

RECONCILED = 64
"""How many of them may come from a walk."""

SHARE = 16
"""While uploads wait, a walk's file is read after so many of them."""

CALM = 10.0
"""Seconds without an upload after which a walk's files may occupy all workers."""

AHEAD = 2
"""Files of a walk for each worker then: one in its hands, one that waits for it."""

IDLE = 1.0
"""Seconds after which it is looked again without being told to."""

Work = tuple[ReadTask, ReadContext, Runtime]


class Dispatcher:
    """Hands out what is due.  ``run`` in a thread of its own; the rest from any thread."""

    def __init__(
        self,
        store: Store,
        runtime: RuntimeHandle,
        stop: threading.Event,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Readers take their work from ``tasks``; None is the end."""
        self.tasks: SimpleQueue[Work | None] = SimpleQueue()
        self.wakeup = threading.Event()
        self._store, self._runtime, self._stop, self._clock = store, runtime, stop, clock
        self._lock = threading.Lock()
        self._flying: dict[bytes, JournalEntry] = {}
        self._more = False
        self._reading: Counter[Lane] = Counter()
        self._hot = RereadBackoff()
        self._looked_at = math.inf
        self._uploaded_at = -math.inf
        self.last_round = self._done_at = time.monotonic()
        self._turns = 0

    @property
    def in_flight(self) -> int:
        """How many entries are on their way."""
        return len(self._flying)

    @property
    def has_uploads(self) -> bool:
        """True while an upload is on its way: whoever is in no hurry steps aside."""
        return self._reading[Lane.UPLOAD] > 0

    def run(self) -> None:
        """Hand out until the stop."""
        while not self._stop.is_set():
            self.wakeup.clear()
            if not retry_until(self._hand_out, self._stop, self._alive):
                self.wakeup.wait(retry_until(self._pause, self._stop))

    def is_stuck(self, seconds: float) -> bool:
        """Say if for so long nothing has come back of what is on its way, or nobody looked."""
        now = time.monotonic()
        stuck = self._flying and now - self._done_at > seconds
        return bool(stuck or now - self.last_round > seconds)

    def _alive(self) -> None:
        self.last_round = time.monotonic()
        if not self._flying:
            self._done_at = self.last_round

    def read_finished(self, look: ReadOutcome) -> None:
        """Say that a reader is done with an entry: another one may take its worker."""
        entry, settings = look.task.entry, self._runtime.current.settings
        with self._lock:
            self._reading[entry.lane] -= 1
        if isinstance(look, ContentRead) and look.fingerprint and entry.lane is Lane.UPLOAD:
            self._hot.record_read(entry.path, settings.settle_time, settings.max_settle_time)
        if entry.lane is Lane.RECONCILE:
            self.wakeup.set()

    def done(self, looks: Iterable[ReadOutcome], parts: Runtime) -> None:
        """Say that looks are recorded; what is still in the journal is due again, or later."""
        again = self._more
        for look in looks:
            with self._lock:
                del self._flying[look.task.entry.path]
            self._runtime.release(parts)
            again = again or isinstance(look, ReadPostponed)
        self._done_at = time.monotonic()
        if again:
            self.wakeup.set()

    def _hand_out(self) -> bool:
        """Hand out what may be handed out now; False if that was nothing."""
        with self._runtime.borrow() as parts:
            now = self._now(parts)
            means: ReadContext | None = None
            for entry in self._choose(parts, now):
                root = parts.roots.scanned_root(entry.path)
                if root is None:  # since it was announced, somebody changed the configuration
                    self._store.journal.remove([entry])
                    continue
                means = means or ReadContext(
                    parts.pipeline, required_freshness(self._store, parts.pipeline, now)
                )
                self._give(entry, root.name, means)
            return means is not None

    def _now(self, parts: Runtime) -> float:
        """Look at the clock; if it was set back, let nobody wait until it is as late again."""
        now = self._clock()
        if now < self._looked_at:
            longest = max(parts.settings.max_settle_time, OPEN_TIMES * parts.settings.settle_time)
            self._store.journal.make_all_due(now + longest, now)
        self._looked_at = now
        return now

    def _choose(self, parts: Runtime, now: float) -> list[JournalEntry]:
        room = CAPACITY - len(self._flying)
        self._more = room < CAPACITY // 4
        if self._more:
            return []
        uploads = self._cool(self._free(Lane.UPLOAD, now, room), parts, now)
        if uploads:
            self._uploaded_at = time.monotonic()
            self._turns += len(uploads)
        reconciled = min(self._places(parts), room - len(uploads))
        if uploads and self._turns < SHARE:
            reconciled = 0
        elif uploads:
            reconciled, self._turns = min(reconciled, 1), 0
        return [*uploads, *self._free(Lane.RECONCILE, now, max(0, reconciled))]

    def _places(self, parts: Runtime) -> int:
        """Say how many of a walk's files may go: they leave a worker to uploads that may come."""
        calm = time.monotonic() - self._uploaded_at > CALM
        workers = AHEAD * parts.jobs if calm else max(1, parts.jobs - 1)
        flying = sum(each.lane is Lane.RECONCILE for each in list(self._flying.values()))
        return min(workers - self._reading[Lane.RECONCILE], RECONCILED - flying)

    def _free(self, lane: Lane, now: float, limit: int) -> list[JournalEntry]:
        """Give what is due and not on its way, and note if something is left for later."""
        with self._lock:
            flying = dict(self._flying)
        due = self._store.journal.load_due(lane, now, limit + len(flying) + 1)
        free = [entry for entry in due if entry.path not in flying]
        anew = any(entry != flying.get(entry.path, entry) for entry in due)
        self._more = self._more or len(free) > limit or anew
        return free[:limit]

    def _cool(self, entries: list[JournalEntry], parts: Runtime, now: float) -> list[JournalEntry]:
        """Put off what was read a moment ago, and the moment before."""
        quiet, busy = parts.settings.settle_time, parts.settings.max_settle_time
        left = {entry: self._hot.remaining(entry.path, quiet, busy) for entry in entries}
        hot = {entry: now + seconds for entry, seconds in left.items() if seconds}
        if hot:
            self._store.journal.postpone(hot)
        return [entry for entry in entries if entry not in hot]

    def _give(self, entry: JournalEntry, root: str, means: ReadContext) -> None:
        parent, name = os.path.split(entry.path)
        task = ReadTask(entry, root, self._store.files.load(parent, name))
        with self._lock:
            self._flying[entry.path] = entry
            self._reading[entry.lane] += 1
        self.tasks.put((task, means, self._runtime.acquire()))

    def _pause(self) -> float:
        """Say how long nothing becomes due by itself."""
        now = self._clock()
        due = [self._store.journal.next_due(lane, now) for lane in Lane]
        return max(0.0, min([IDLE, *(at - now for at in due if at is not None)]))
