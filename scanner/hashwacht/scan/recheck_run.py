"""The ``recheck`` run: ask again about stored contents.  No file is read.

Answers are recorded batch by batch, so an interrupted recheck continues where it stopped.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from functools import partial

from hashwacht.core.types import Outcome
from hashwacht.engine.judge import ContentJudge, JudgedContent, StaleContents
from hashwacht.matching.matcher_set import MatcherSet
from hashwacht.scan.progress import Observer, Phase, RunCounts, RunMonitor, ScanResult, Summary
from hashwacht.scan.tally import Tally
from hashwacht.storage.runs import Run, RunState
from hashwacht.storage.store import Store

BATCH_SIZE = 500
"""Contents in one batch."""


class Recheck:
    """One recheck.  ``run`` once; set *stop* from any thread to interrupt it."""

    def __init__(
        self,
        *,
        store: Store,
        matcher_set: MatcherSet,
        observer: Observer,
        stop: threading.Event,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """*clock* returns Unix time; the caller closes *store* and *matchers*."""
        self._store, self._matcher_set = store, matcher_set
        self._closing = threading.Event()
        self._judge = ContentJudge(store, clock, self._closing)
        self._observer, self._stop, self._clock = observer, stop, clock
        self._results: queue.Queue[ScanResult] = queue.Queue(10_000)
        self._tally = Tally()
        self._failure: BaseException | None = None
        self.counts = RunCounts()
        self.directory = b""

    def run(self) -> Summary:
        """Ask about every content that lacks a valid answer.  Raises StorageError."""
        with self._store.acquire_lock() as lock:
            run, resumed = self._begin()
            lock.set_run(run.id)
            self._observer.started(str(run.id), (), resumed=resumed)
            stale = StaleContents(self._store, self._matcher_set, self._clock)
            monitor = RunMonitor(
                self._observer, self, self._results, stale.count(), phase=Phase.ASKING
            )
            work = partial(self._run_thread, run, stale)
            thread = threading.Thread(target=work, name="recheck", daemon=True)
            thread.start()
            monitor.wait(thread, self._stop, self._abort)
            return self._end(run, monitor)

    def _begin(self) -> tuple[Run, bool]:
        runs, now = self._store.runs, self._clock()
        interrupted = runs.load_resumable("recheck", (), "")
        if interrupted:
            self._tally = Tally.loads(interrupted.tally)
            return runs.resume(interrupted, now), True
        return runs.start("recheck", (), "", now), False

    def _run_thread(self, run: Run, stale: StaleContents) -> None:
        try:
            for numbers in stale.batches(BATCH_SIZE):
                if self._stop.is_set():
                    return
                self._ask(run, numbers)
        except BaseException as failure:  # noqa: BLE001  # raised again by ``run``
            if not self._closing.is_set():  # otherwise the closed matchers caused it
                self._failure = failure
            self._stop.set()

    def _abort(self) -> None:
        self._closing.set()
        self._matcher_set.close()

    def _ask(self, run: Run, numbers: list[int]) -> None:
        judged = self._judge.judge(self._matcher_set, self._judge.with_containers(numbers))
        members = {number for content in judged.values() for number in content.members}
        for number, content in judged.items():
            # What is known as a member only is counted and reported with its archive.
            if number not in members or self._store.files.load_paths(number, 1):
                self._count(number, content)
        self._results.join()  # reported before it is recorded: a crash may repeat, never lose one
        with self._store.transaction():
            self._judge.record(judged)
            self._store.runs.record_progress(run.id, self._tally.dumps(), self._clock())
        self.counts = self._tally.counts()

    def _count(self, number: int, judged: JudgedContent) -> None:
        verdict, fingerprint = judged.now.verdict, judged.now.fingerprint
        self._tally.files += 1
        self._tally.size += fingerprint.size
        self._tally.count_verdict(verdict)
        self._tally.count_answers(judged.now)
        self._tally.new_matches += judged.outcome_changed and verdict.outcome is Outcome.MATCH
        if judged.is_reportable:
            paths = tuple(self._store.files.load_paths(number))
            content = fingerprint.kind, fingerprint.size, fingerprint.key
            self._results.put(ScanResult(paths, verdict, *content, judged.before))

    def _end(self, run: Run, monitor: RunMonitor) -> Summary:
        state = RunState.INTERRUPTED if self._stop.is_set() else RunState.FINISHED
        tally = Tally.loads(self._store.runs.load_tally(run.id))
        tally.elapsed += monitor.elapsed
        self._store.runs.finish(run.id, state, tally.dumps(), self._clock())
        if self._failure:
            raise self._failure
        summary = tally.summary(str(run.id), state)
        self._observer.finished(summary)
        return summary
