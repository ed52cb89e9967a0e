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
from hashwacht.matching.matcher_set import Panel
from hashwacht.scan.judging import Judged, Judging, needed
from hashwacht.scan.observer_loop import Watch
from hashwacht.scan.progress import Counts, Observer, Phase, Result, Summary
from hashwacht.scan.tally import Tally
from hashwacht.storage.pending import Wanted
from hashwacht.storage.runs import Run, RunState
from hashwacht.storage.store import Store

BATCH = 500
"""Contents asked about at a time."""


class Recheck:
    """One recheck.  ``run`` once; set *stop* from anywhere to interrupt it."""

    def __init__(
        self,
        *,
        store: Store,
        panel: Panel,
        observer: Observer,
        stop: threading.Event,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take the parts; the caller closes them."""
        self._store, self._panel = store, panel
        self._judging = Judging(store, panel, clock)
        self._observer, self._stop, self._clock = observer, stop, clock
        self._results: queue.Queue[Result] = queue.Queue(10_000)
        self._tally = Tally()
        self._failure: BaseException | None = None
        self._cut = threading.Event()
        self.counts = Counts()
        self.directory = b""

    def run(self) -> Summary:
        """Ask about everything that lacks a good answer.  Raises StateError."""
        with self._store.lock() as lock:
            run, resumed = self._begin()
            lock.name(run.id)
            self._observer.started(str(run.id), (), resumed=resumed)
            wanted = needed(self._panel, self._clock())
            epoch = self._store.epochs.of(self._panel.epoch)
            expected = self._store.answers.count_stale(wanted, epoch=epoch)
            watch = Watch(self._observer, self, self._results, expected, phase=Phase.ASKING)
            thread = threading.Thread(
                target=self._guarded, args=(run, wanted, epoch), name="recheck", daemon=True
            )
            thread.start()
            watch.until(thread, self._stop, self._hurry)
            return self._end(run, watch)

    def _begin(self) -> tuple[Run, bool]:
        runs, now = self._store.runs, self._clock()
        found = runs.resumable("recheck", (), "")
        if found:
            self._tally = Tally.loads(found.tally)
            return runs.resume(found, now), True
        return runs.start("recheck", (), "", now), False

    def _guarded(self, run: Run, wanted: dict[str, Wanted], epoch: int) -> None:
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

    def _ask(self, run: Run, wanted: dict[str, Wanted], epoch: int) -> None:
        """Go through the stale contents in the order of their numbers."""
        after = 0
        while not self._stop.is_set():
            numbers = self._store.answers.stale(wanted, after, BATCH, epoch=epoch)
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
            self._store.runs.save(run.id, self._tally.dumps(), self._clock())
        self.counts = self._tally.counts()

    def _count(self, number: int, judged: Judged) -> None:
        """Count one content; if its outcome is a new one, tell it with the places where it lies."""
        verdict, fingerprint = judged.now.verdict, judged.now.fingerprint
        self._tally.files += 1
        self._tally.size += fingerprint.size
        self._tally.judged(verdict)
        self._tally.answered(judged.now)
        self._tally.new_matches += judged.is_new and verdict.outcome is Outcome.MATCH
        if not judged.is_news:
            return
        paths = tuple(self._store.files.paths_of(number))
        self._results.put(
            Result(
                paths,
                verdict,
                fingerprint.kind,
                fingerprint.size,
                fingerprint.key,
                judged.before,
            )
        )

    def _end(self, run: Run, watch: Watch) -> Summary:
        state = RunState.INTERRUPTED if self._stop.is_set() else RunState.FINISHED
        tally = Tally.loads(self._store.runs.kept(run.id))
        tally.elapsed += watch.elapsed
        self._store.runs.finish(run.id, state, tally.dumps(), self._clock())
        if self._failure:
            raise self._failure
        summary = tally.summary(str(run.id), state)
        self._observer.finished(summary)
        return summary
