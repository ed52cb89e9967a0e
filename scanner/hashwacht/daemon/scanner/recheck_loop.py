"""Asking again without reading: contents that wait for an answer, and all of them for a new list.

Who waits is asked by the stored signals, uploads first and the oldest of them first; while nobody
answers, only some are asked, after growing pauses.  When a list or a matcher changes, every content
whose answers do not cover that is asked once.  What follows from a verdict that came late is done
for every place where the content lies; until then it counts as waiting, so that no crash loses it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Mapping

from hashwacht.cases.case_opening import JudgedFile
from hashwacht.core.errors import Interrupted
from hashwacht.core.types import Reason
from hashwacht.core.watch_events import Announcement, Lane
from hashwacht.daemon.scanner.file_reader import NOWHERE
from hashwacht.daemon.scanner.judge import VerdictProcessor, is_waiting
from hashwacht.daemon.scanner.runtime import Runtime, RuntimeHandle
from hashwacht.daemon.scanner.threads import Backpressure, retry_until
from hashwacht.platform.backoff import Backoff
from hashwacht.scan.judging import JudgedContent, answer_requirements
from hashwacht.storage.pending import PendingContent
from hashwacht.storage.store import Store

BATCH = 64
"""Contents asked about at a time."""

PROBE = 4
"""Contents asked about at a time while nobody has answered."""

DRY = 3
"""Batches in a row without any answer after which it is given up for now."""

RETRY = Backoff(1.0, 60.0)
"""Between two attempts while no matcher answers."""

TICK = 1.0
"""Seconds between two looks if something is to do."""


class RecheckLoop:
    """Asks again.  ``run`` in a thread of its own."""

    def __init__(
        self,
        store: Store,
        runtime: RuntimeHandle,
        verdicts: VerdictProcessor,
        *,
        stop: threading.Event,
        cut: threading.Event,
        uploads: Callable[[], bool],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Once *cut* is set no answer counts any more; *uploads*: some are on their way."""
        self._store, self._runtime, self._verdicts = store, runtime, verdicts
        self._stop, self._cut, self._clock = stop, cut, clock
        self._gate = Backpressure(store, Lane.RECONCILE, stop, uploads)
        self._failures, self._due = 0, 0.0
        self._epoch = ""
        self._swept = 0.0
        self._after: int | None = None

    def run(self) -> None:
        """Go on until the stop."""
        while not self._stop.is_set():
            self._verdicts.matcher_recovered.wait(TICK if self._after is None else 0.0)
            with self._runtime.borrow() as parts:
                if self._is_time():
                    self._verdicts.matcher_recovered.clear()
                    self._ask_waiting(parts)
                self._sweep(parts)

    def _is_time(self) -> bool:
        """Say if those who wait are to be asked about."""
        return self._verdicts.matcher_recovered.is_set() or time.monotonic() >= self._due

    def _ask_waiting(self, parts: Runtime) -> None:
        """Go through all who wait, as long as somebody answers."""
        after: PendingContent | None = None
        dry, size, again = 0, PROBE, True
        while dry < DRY and not self._stop.is_set():
            rows = self._store.pending.load_next(size, after)
            if not rows:
                break
            after = rows[-1]
            answered = self._ask({each.content: each for each in rows}, parts)
            if answered and dry and again:  # it came back just now: those before are older
                after, again = None, False
            dry, size = (0, BATCH) if answered else (dry + 1, PROBE)
            self._gate.yield_to_uploads()
        self._failures = self._failures + 1 if dry else 0
        self._due = time.monotonic() + RETRY.delay(max(1, self._failures))

    def _sweep(self, parts: Runtime) -> None:
        """Go through all contents that lack a good answer, once for each change of the lists.

        Who is silent is not asked here, and who waits is passed over: that is done by age.
        """
        epoch, now = parts.pipeline.matcher_set.knowledge_id, time.monotonic()
        if epoch != self._epoch or now - self._swept > parts.settings.rescan_interval:
            self._epoch, self._swept, self._after = epoch, now, 0
        while self._after is not None and not (self._is_time() or self._stop.is_set()):
            silent = self._verdicts.matcher_health.failing()
            stale = self._stale(parts, epoch)
            waiting = self._store.pending.load(stale)
            self._ask(
                {each: waiting.get(each) for each in stale if silent or each not in waiting},
                parts,
                silent,
            )
            self._after = max(stale, default=None)
            self._gate.yield_to_uploads()

    def _stale(self, parts: Runtime, epoch: str) -> list[int]:
        """Give the next contents that lack a good answer."""
        assert self._after is not None
        return self._store.answers.load_stale(
            answer_requirements(parts.pipeline.matcher_set, self._clock()),
            self._after,
            BATCH,
            knowledge_id=self._store.knowledge_ids.resolve(epoch),
        )

    def _ask(
        self,
        contents: Mapping[int, PendingContent | None],
        parts: Runtime,
        unavailable: Collection[str] = (),
    ) -> int:
        """Ask about contents, and do what follows; say how many wait no more."""
        judged = retry_until(lambda: self._verdicts.judge(parts, contents, unavailable), self._stop)
        if self._cut.is_set():
            raise Interrupted("the daemon was stopped while matchers were asked")
        rows = {
            number: contents[number] or self._anywhere(number, parts)
            for number, each in judged.items()
            if contents[number] or each.outcome_changed or is_waiting(each)
        }
        retry_until(lambda: self._verdicts.record(parts, judged, rows.values()), self._stop)
        retry_until(lambda: self._read_again(judged), self._stop)
        waiting = {number for number, each in judged.items() if is_waiting(each)}
        waiting |= {
            number
            for number, row in rows.items()
            if number not in waiting and not self._tell(judged[number], row, parts)
        }
        done = contents.keys() - waiting
        retry_until(lambda: self._store.pending.remove(done), self._stop)
        return len(done)

    def _anywhere(self, content: int, parts: Runtime) -> PendingContent:
        """Make a row for a content that has not waited so far: with any place of it."""
        path = next(iter(self._store.files.load_paths(content, 1)), b"")
        root = parts.roots.innermost(path)
        name = root.name if root else ""
        return PendingContent(content, Lane.RECONCILE, self._clock(), name, path)

    def _tell(self, judged: JudgedContent, row: PendingContent, parts: Runtime) -> bool:
        """Do what follows at every place of a content; where it was, if it is nowhere any more."""
        self._verdicts.apply_to_upload(parts, judged.now.fingerprint.key)
        places = self._store.files.load_paths(row.content) or [row.path]
        told = [self._tell_at(path, judged, row, parts) for path in places if path]
        return all(told)

    def _tell_at(
        self, path: bytes, judged: JudgedContent, row: PendingContent, parts: Runtime
    ) -> bool:
        root = parts.roots.innermost(path)
        if root is None:
            return True  # somebody scanned it elsewhere: there is no policy for it
        parent, name = os.path.split(path)
        known = self._store.files.load(parent, name)
        found = JudgedFile(
            root=root.name,
            path=path,
            fd=None,
            id=known.id if known and known.content == row.content else NOWHERE,
            fingerprint=judged.now.fingerprint,
            answers=judged.now.answers,
            verdict=judged.now.verdict,
        )
        return self._verdicts.apply(parts, found, None)

    def _read_again(self, judged: Mapping[int, JudgedContent]) -> None:
        """Announce what only its exact hashes can decide, which are not in the state."""
        near = [
            number
            for number, each in judged.items()
            if each.now.verdict.reason is Reason.NEEDS_EXACT_HASH
        ]
        paths = [path for number in near for path in self._store.files.load_paths(number)]
        if paths:
            announced = [Announcement("", path) for path in paths]
            self._store.journal.record(announced, Lane.RECONCILE, self._clock())
