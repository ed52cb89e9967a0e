"""Asking again with stored signals: no disk is read, the storage may even be unmounted.

Lists grow, matchers are added, services were out of reach: every stored content that lacks an
answer which is good enough today is asked about again.  What is answered is kept at once, so an
interrupted recheck goes on by itself where it was.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

from hashwacht.core.errors import Interrupted
from hashwacht.core.types import Outcome
from hashwacht.matching.matcher_set import MatcherSet
from hashwacht.scan.judging import ContentJudge, JudgedContent, answer_requirements
from hashwacht.scan.observer_loop import RunMonitor
from hashwacht.scan.progress import Observer, Phase, RunCounts, ScanResult, Summary
from hashwacht.scan.tally import Tally
from hashwacht.storage.answers import AnswerRequirement
from hashwacht.storage.runs import Run, RunState
from hashwacht.storage.store import Store

BATCH_SIZE = 500
"""Contents asked about at a time."""


class Recheck:
    """One recheck.  ``run`` once; set *stop* from anywhere to interrupt it."""

    def __init__(
        self,
        *,
        store: Store,
        panel: MatcherSet,
        observer: Observer,
        stop: threading.Event,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take the parts; the caller closes them."""
        self._store, self._panel = store, panel
        self._judging = ContentJudge(store, panel, clock)
        self._observer, self._stop, self._clock = observer, stop, clock
        self._results: queue.Queue[ScanResult] = queue.Queue(10_000)
        self._tally = Tally()
        self._failure: BaseException | None = None
        self._cut = threading.Event()
        self.counts = RunCounts()
        self.directory = b""

    def run(self) -> Summary:
        """Ask about everything that lacks a good answer.  Raises StorageError."""
        with self._store.acquire_lock() as lock:
            run, resumed = self._begin()
            lock.set_run(run.id)
            self._observer.started(str(run.id), (), resumed=resumed)
            wanted = answer_requirements(self._panel, self._clock())
            epoch = self._store.knowledge_ids.resolve(self._panel.knowledge_id)
            expected = self._store.answers.count_stale(wanted, knowledge_id=epoch)
            watch = RunMonitor(self._observer, self, self._results, expected, phase=Phase.ASKING)
            thread = threading.Thread(
                target=self._guarded, args=(run, wanted, epoch), name="recheck", daemon=True
            )
            thread.start()
            watch.wait(thread, self._stop, self._hurry)
            return self._end(run, watch)

    def _begin(self) -> tuple[Run, bool]:
        runs, now = self._store.runs, self._clock()
        found = runs.load_resumable("recheck", (), "")
        if found:
            self._tally = Tally.loads(found.tally)
            return runs.resume(found, now), True
        return runs.start("recheck", (), "", now), False

    def _guarded(self, run: Run, wanted: dict[str, AnswerRequirement], epoch: int) -> None:
        try:
            self._ask(run, wanted, epoch)
        except BaseException as failure:  # noqa: BLE001  # raised again by ``run``
            if not self._cut.is_set():  # else it stumbled over what was closed under it
                self._failure = failure
            self._stop.set()

    def _hurry(self) -> None:
        """End what does not end by itself: a service that is slow."""
        self._cut.set()
        self._panel.close()

    def _ask(self, run: Run, wanted: dict[str, AnswerRequirement], epoch: int) -> None:
        """Go through the stale contents in the order of their numbers."""
        after = 0
        while not self._stop.is_set():
            numbers = self._store.answers.load_stale(wanted, after, BATCH_SIZE, knowledge_id=epoch)
            if not numbers:
                return
            self._batch(run, numbers)
            after = numbers[-1]

    def _batch(self, run: Run, numbers: list[int]) -> None:
        judged = self._judging.judge(numbers)
        if self._cut.is_set():
            # Answers that came while the matchers were being closed say nothing.
            raise Interrupted("the recheck was stopped while matchers were asked")
        for number, each in judged.items():
            self._count(number, each)
        self._results.join()  # told before it is kept: a crash may repeat, but not swallow it
        with self._store.transaction():
            self._judging.keep(judged)
            self._store.runs.record_progress(run.id, self._tally.dumps(), self._clock())
        self.counts = self._tally.counts()

    def _count(self, number: int, judged: JudgedContent) -> None:
        """Count one content; if its outcome is a new one, tell it with the places where it lies."""
        verdict, fingerprint = judged.now.verdict, judged.now.fingerprint
        self._tally.files += 1
        self._tally.size += fingerprint.size
        self._tally.count_verdict(verdict)
        self._tally.count_answers(judged.now)
        self._tally.new_matches += judged.outcome_changed and verdict.outcome is Outcome.MATCH
        if not judged.is_reportable:
            return
        paths = tuple(self._store.files.load_paths(number))
        self._results.put(
            ScanResult(
                paths,
                verdict,
                fingerprint.kind,
                fingerprint.size,
                fingerprint.key,
                judged.before,
            )
        )

    def _end(self, run: Run, watch: RunMonitor) -> Summary:
        state = RunState.INTERRUPTED if self._stop.is_set() else RunState.FINISHED
        tally = Tally.loads(self._store.runs.load_tally(run.id))
        tally.elapsed += watch.elapsed
        self._store.runs.finish(run.id, state, tally.dumps(), self._clock())
        if self._failure:
            raise self._failure
        summary = tally.summary(str(run.id), state)
        self._observer.finished(summary)
        return summary
