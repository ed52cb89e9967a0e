"""A scan of existing files: walk, read, record.

Threads around two bounded queues::

    walker ──small files──▶ small-file readers ──▶ readers ──results──┐
       ├───────────── other files ───────────────────┘                   │
       └────────────────────── stored, listed, small texts ────────────────┴──▶ recorder ──▶ storage

The walker compares every name with the storage and opens what has to be read.  The readers wait
for the worker processes.  Only the recorder writes.  The caller's thread informs the observer and
can be interrupted.
"""

from __future__ import annotations

import json
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from hashwacht.core.errors import Interrupted, WorkerError
from hashwacht.engine.compare import StillPresent, required_freshness
from hashwacht.engine.judge import ContentJudge
from hashwacht.engine.read import OpenFile, read_files, read_small_files
from hashwacht.engine.rereads import scan_schedule
from hashwacht.pipeline import Pipeline
from hashwacht.platform.filesystems.mounts import FileSystemScope
from hashwacht.scan.progress import Observer, RunMonitor, ScanResult, Summary
from hashwacht.scan.recorder import ScanRecorder
from hashwacht.scan.tally import Tally, Timings
from hashwacht.scan.walker import (
    DirectoryUnreadable,
    HardLinks,
    RateLimiter,
    ReadBatch,
    ScanWalker,
    WalkedFile,
)
from hashwacht.settings.units import RateLimit
from hashwacht.storage.runs import Run, RunState
from hashwacht.storage.store import Store
from hashwacht.walk.rules import ExclusionRules
from hashwacht.walk.walk import Walker, never_listed

QUEUED = 4
"""Batches of open files that wait for each job: enough to keep all busy, few descriptors."""

READERS, MAX_EXTRA_READERS = 16, 48
"""Reader threads for each job, and the most beyond one a job.  They only wait; the worker pool
sends small files that wait at the same time to a worker together."""


SMALL_READERS = 2
"""Threads for each job that send many small files at a time to a worker: one message is on its way
while another one is digested.  What needs more than digests goes to the readers."""


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """What to scan.  *roots* are absolute paths; *rate* limits the reading.

    Files that look unchanged are read again within *reread_interval* seconds (0: never).  *full*
    reads all of them now, *restart* starts over where an interrupted run of the same request would
    be resumed; *jobs* is the number of worker processes.
    """

    roots: tuple[bytes, ...]
    rules: ExclusionRules
    scope: FileSystemScope = FileSystemScope.LOCAL
    full: bool = False
    restart: bool = False
    jobs: int = 1
    rate: RateLimit | None = None
    reread_interval: float = 0.0

    def expects_files(self, root: bytes) -> bool:
        """Return whether *root* is one of several that are not inside one another."""
        others = [other for other in self.roots if other != root]
        return bool(others) and not any(
            root.startswith(other.rstrip(b"/") + b"/") for other in others
        )

    @property
    def options(self) -> str:
        """The options that make two scans of the same roots the same scan, as canonical JSON."""
        rules = [str(rule) for rule in self.rules.rules]
        return json.dumps(
            {"full": self.full, "file_systems": self.scope, "rules": rules},
            sort_keys=True,
        )


class ScanRun:
    """One run of a request.  ``run`` once; set *stop* from any thread to interrupt it.

    Afterwards *timings* holds where the time went.
    """

    def __init__(
        self,
        *,
        store: Store,
        pipeline: Pipeline,
        request: ScanRequest,
        observer: Observer,
        stop: threading.Event,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """*clock* returns Unix time; the caller closes *store* and *pipeline*."""
        self._store, self._pipeline, self._request = store, pipeline, request
        self._observer, self._stop, self._clock = observer, stop, clock
        self._results: queue.Queue[ScanResult] = queue.Queue(10_000)
        self._tasks: queue.Queue[ReadBatch | None] = queue.Queue(QUEUED * request.jobs)
        self._small_tasks: queue.Queue[ReadBatch | None] = queue.Queue(request.jobs)
        self._links = HardLinks()
        self._failures: queue.SimpleQueue[BaseException] = queue.SimpleQueue()
        self._closing = threading.Event()
        self.timings = Timings()

    def run(self) -> Summary:
        """Scan, or resume the same scan where it was interrupted.

        An interruption is a result, not an error.  Raises StorageError if another scan is running
        or the storage cannot be written; what was recorded is kept, and the next run resumes.
        """
        with self._store.acquire_lock() as lock:
            run, resumed = self._begin()
            lock.set_run(run.id)
            tally = Tally.loads(run.tally)
            tally.resumed += resumed
            self._observer.started(str(run.id), self._request.roots, resumed=resumed)
            recorder = ScanRecorder(
                store=self._store,
                judge=ContentJudge(self._store, self._clock, self._closing),
                matcher_set=self._pipeline.matcher_set,
                links=self._links,
                run=run,
                tally=tally,
                results=self._results,
                timings=self.timings,
                clock=self._clock,
            )
            monitor = RunMonitor(self._observer, recorder, self._results, self._expected_files())
            last = self._start(run, recorder)
            monitor.wait(last, self._stop, self._abort)
            return self._end(run, recorder, monitor)

    def _begin(self) -> tuple[Run, bool]:
        request, runs, now = self._request, self._store.runs, self._clock()
        interrupted = runs.load_resumable("scan", request.roots, request.options)
        if interrupted and not request.restart:
            return runs.resume(interrupted, now), True
        return runs.start("scan", request.roots, request.options, now), False

    def _expected_files(self) -> int | None:
        for run in self._store.runs.load_latest():
            if run.roots == self._request.roots and run.state is RunState.FINISHED:
                return Tally.loads(run.tally).files or None
        return None

    def _walker(self, run: Run, recorder: ScanRecorder) -> ScanWalker:
        request = self._request
        freshness = required_freshness(
            self._store, self._pipeline, self._clock(), full=request.full, run=run.id
        )
        schedule = scan_schedule(self._store, request.roots, request.reread_interval, run.started)
        return ScanWalker(
            store=self._store,
            freshness=freshness,
            is_reread=schedule.is_due,
            tasks=self._tasks,
            small_tasks=self._small_tasks,
            put=recorder.put,
            links=self._links,
            limiter=RateLimiter(request.rate, self._stop.wait) if request.rate else None,
            stop=self._stop,
            timings=self.timings,
        )

    def _start(self, run: Run, recorder: ScanRecorder) -> threading.Thread:
        walker, request, jobs = self._walker(run, recorder), self._request, self._request.jobs
        readers = [
            self._thread(f"reader-{number}", lambda: self._read(recorder))
            for number in range(min(READERS * jobs, MAX_EXTRA_READERS + jobs))
        ]
        small_readers = [
            self._thread(f"small-{number}", lambda: self._read_small(recorder))
            for number in range(SMALL_READERS * jobs)
        ]
        last = self._thread("recorder", recorder.run)
        # Parts of a root may be done in this run already.
        resumed = recorder.tally.resumed > 0
        continued = resumed or len(request.roots) > 1
        is_done = partial(self._store.files.is_directory_done, run=run.id)
        listed = is_done if continued else never_listed

        def walk() -> None:
            try:
                for root in request.roots:
                    walk = Walker(root, request.rules, scope=request.scope, listed=listed)
                    if not walker.walk(walk) and not resumed and request.expects_files(root):
                        recorder.put(DirectoryUnreadable(root, "no file is there"))
            finally:
                for tasks, threads in (self._small_tasks, small_readers), (self._tasks, readers):
                    tasks.put(None)
                    for thread in threads:
                        thread.join()
                recorder.end()

        for thread in (last, *readers, *small_readers, self._thread("walker", walk)):
            thread.start()
        return last

    def _read_small(self, recorder: ScanRecorder) -> None:
        """Read small files together; pass on what needs more than digests."""
        while (batch := self._small_tasks.get()) is not None:
            others: Sequence[OpenFile[WalkedFile]] = ()
            try:
                if not self._stop.is_set():
                    contents, others = read_small_files(batch, self._pipeline.fingerprint_small)
                    recorder.put(*contents)
            except WorkerError:
                if not self._stop.is_set():
                    raise
            finally:
                passed_on = {file.fd for file in others}
                for file in batch:
                    if file.fd not in passed_on:
                        os.close(file.fd)
            for file in others:
                self._tasks.put((file,))
        self._small_tasks.put(None)

    def _read(self, recorder: ScanRecorder) -> None:
        """Read batches until None comes, which stays in the queue for the other readers."""
        while (batch := self._tasks.get()) is not None:
            try:
                if not self._stop.is_set():
                    for result in read_files(batch, self._pipeline.fingerprint):
                        recorder.put(result)
            except WorkerError:
                if not self._stop.is_set():
                    raise
            finally:
                for file in batch:
                    os.close(file.fd)
        self._tasks.put(None)

    def _thread(self, name: str, work: Callable[[], None]) -> threading.Thread:
        """Return a thread whose failure stops the others and is raised by ``run``."""

        def guarded() -> None:
            try:
                work()
            except Interrupted:
                pass
            except BaseException as failure:  # noqa: BLE001  # raised again by ``run``
                if not self._closing.is_set():  # otherwise the closed pipeline caused it
                    self._failures.put(failure)
                self._stop.set()

        return threading.Thread(target=guarded, name=name, daemon=True)

    def _abort(self) -> None:
        self._closing.set()
        self._pipeline.close()

    def _end(self, run: Run, recorder: ScanRecorder, monitor: RunMonitor) -> Summary:
        """Record how the run ended, inform the observer, and raise what made it fail."""
        state = RunState.INTERRUPTED if self._stop.is_set() else RunState.FINISHED
        total = recorder.total_tally()
        tally = total
        if state is RunState.INTERRUPTED:
            tally = Tally.loads(self._store.runs.load_tally(run.id))
        tally.elapsed += monitor.elapsed
        tally.add_samples(monitor.samples)
        if state is RunState.FINISHED:
            for root in self._request.roots:
                self._store.files.remove_unlisted(root, run.id, StillPresent())
        self._store.runs.finish(run.id, state, tally.dumps(), self._clock())
        if not self._failures.empty():
            raise self._failures.get()
        total.elapsed = tally.elapsed
        summary = total.summary(str(run.id), state)
        self._observer.finished(summary)
        return summary
