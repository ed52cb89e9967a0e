"""A scan of existing storage: walk, read, record.

Three kinds of threads around two bounded queues::

    walker ──tasks──▶ readers (one per worker) ──┐
       └───────────── known, listed ─────────────┴──▶ recorder ──▶ state, results

The walker looks at every name once; what the state knows needs no reading.  The readers wait
for the workers that decode.  The recorder is the only one that writes.  The caller's thread
tells the observer, and is the one that can be interrupted.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

from hashwacht.core.errors import Interrupted
from hashwacht.pipeline import Pipeline
from hashwacht.scan.directory_skipper import StillThere
from hashwacht.scan.freshness import required_freshness
from hashwacht.scan.judging import ContentJudge
from hashwacht.scan.messages import WalkedFile
from hashwacht.scan.observer_loop import RunMonitor
from hashwacht.scan.progress import Observer, ScanResult, Summary
from hashwacht.scan.reader import ScanReader
from hashwacht.scan.recorder import ScanRecorder
from hashwacht.scan.request import RateLimiter, ScanRequest
from hashwacht.scan.tally import Tally
from hashwacht.scan.timings import Timings
from hashwacht.scan.walker import HardLinks, ReadTask, ScanWalker
from hashwacht.storage.runs import Run, RunState
from hashwacht.storage.store import Store
from hashwacht.walk.walk import Walker, never_listed

QUEUED = 4
"""Open files for each job that no reader has yet: enough to keep all busy, few descriptors."""

READERS, MOST_WAITING = 16, 48
"""Readers for each job, and how many more there are than jobs at most.  They only wait, and small
files that wait go to a worker several at a time."""


class ScanRun:
    """One run of one request.  ``run`` once; set *stop* from anywhere to interrupt it.

    *spent* says then where the time went.
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
        """Take the parts; the caller closes them."""
        self._store, self._pipeline, self._request = store, pipeline, request
        self._observer, self._stop, self._clock = observer, stop, clock
        self._results: queue.Queue[ScanResult] = queue.Queue(10_000)
        self._tasks: queue.Queue[ReadTask | None] = queue.Queue(QUEUED * request.jobs)
        self._links: HardLinks[WalkedFile] = HardLinks()
        self._failures: queue.SimpleQueue[BaseException] = queue.SimpleQueue()
        self._cut = threading.Event()
        self.timings = Timings()

    def run(self) -> Summary:
        """Scan, or go on with the same scan where it was interrupted.

        An interruption is an ending, not an error.  Raises StorageError (another scan runs, the
        disk is full); what was recorded until then is kept, and the next run resumes.
        """
        with self._store.acquire_lock() as lock:
            run, resumed = self._begin()
            lock.set_run(run.id)
            tally = Tally.loads(run.tally)
            tally.resumed += resumed
            self._observer.started(str(run.id), self._request.roots, resumed=resumed)
            recorder = self._recorder(run, tally)
            watch = RunMonitor(self._observer, recorder, self._results, self._expected())
            last = self._start(run, recorder)
            watch.wait(last, self._stop, self._hurry)
            return self._end(run, recorder, watch)

    def _begin(self) -> tuple[Run, bool]:
        """Find the run to go on with, or start one."""
        request, runs, now = self._request, self._store.runs, self._clock()
        found = runs.load_resumable("scan", request.roots, request.options)
        if found and not request.restart:
            return runs.resume(found, now), True
        return runs.start("scan", request.roots, request.options, now), False

    def _expected(self) -> int | None:
        """Guess how many files will come by: as many as in the last finished run."""
        for run in self._store.runs.load_latest():
            if run.roots == self._request.roots and run.state is RunState.FINISHED:
                return Tally.loads(run.tally).files or None
        return None

    def _recorder(self, run: Run, tally: Tally) -> ScanRecorder:
        return ScanRecorder(
            store=self._store,
            judging=ContentJudge(self._store, self._pipeline.matcher_set, self._clock),
            links=self._links,
            run=run,
            tally=tally,
            results=self._results,
            timings=self.timings,
            cut=self._cut,
            clock=self._clock,
        )

    def _feed(self, run: Run, recorder: ScanRecorder) -> ScanWalker:
        request, now = self._request, self._clock()
        return ScanWalker(
            store=self._store,
            freshness=required_freshness(
                self._store, self._pipeline, now, full=request.full, run=run.id
            ),
            tasks=self._tasks,
            put=recorder.put,
            links=self._links,
            pace=RateLimiter(request.rate, self._stop.wait) if request.rate else None,
            stop=self._stop,
            timings=self.timings,
        )

    def _start(self, run: Run, recorder: ScanRecorder) -> threading.Thread:
        """Start all threads; the one that is returned ends last."""
        feed = self._feed(run, recorder)
        reader = ScanReader(self._tasks, self._pipeline, recorder.put, self._stop)
        many = min(READERS * self._request.jobs, MOST_WAITING + self._request.jobs)
        readers = [self._thread(f"reader-{n}", reader.run) for n in range(many)]
        last = self._thread("recorder", recorder.run)

        again = recorder.tally.resumed > 0 or len(self._request.roots) > 1

        def walk() -> None:
            try:
                for root in self._request.roots:
                    feed.walk(self._walker(root, run, again=again))
            finally:
                self._tasks.put(None)
                for each in readers:
                    each.join()
                recorder.end()

        for thread in (last, *readers, self._thread("walker", walk)):
            thread.start()
        return last

    def _walker(self, root: bytes, run: Run, *, again: bool) -> Walker:
        """Walk one root; *again*: some of it may have been listed in this run before."""
        return Walker(
            root,
            self._request.rules,
            one_file_system=self._request.one_file_system,
            listed=(lambda path: self._store.files.is_directory_done(path, run.id))
            if again
            else never_listed,
        )

    def _thread(self, name: str, work: Callable[[], None]) -> threading.Thread:
        """Make a thread whose failure stops the others and is raised by ``run``."""

        def guarded() -> None:
            try:
                work()
            except Interrupted:
                pass
            except BaseException as failure:  # noqa: BLE001  # raised again by ``run``
                if not self._cut.is_set():  # else it stumbled over what was closed under it
                    self._failures.put(failure)
                self._stop.set()

        return threading.Thread(target=guarded, name=name, daemon=True)

    def _hurry(self) -> None:
        """End what does not end by itself: a decoder at work, a service that is slow."""
        self._cut.set()
        self._pipeline.close()

    def _end(self, run: Run, recorder: ScanRecorder, watch: RunMonitor) -> Summary:
        """Write how the run ended, and tell; raise what made it fail."""
        state = RunState.INTERRUPTED if self._stop.is_set() else RunState.FINISHED
        tally = recorder.total_tally()
        if state is RunState.INTERRUPTED:
            tally = Tally.loads(self._store.runs.load_tally(run.id))
        tally.elapsed += watch.elapsed
        tally.samples += watch.samples
        if state is RunState.FINISHED:
            for root in self._request.roots:
                self._store.files.remove_unlisted(root, run.id, StillThere())
        self._store.runs.finish(run.id, state, tally.dumps(), self._clock())
        if not self._failures.empty():
            raise self._failures.get()
        shown = recorder.total_tally()
        shown.elapsed = tally.elapsed
        summary = shown.summary(str(run.id), state)
        self._observer.finished(summary)
        return summary
