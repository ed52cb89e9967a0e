"""Asking again without reading: pending contents, and all contents after a list has changed.

Pending contents are asked about by their stored signals, uploads first, then by age; while no
matcher answers, only a few are tried, at growing intervals.  When a list or a matcher changes,
every content without an answer from the new knowledge is asked about once.  What a late verdict
requires is done for every path of the content; until then the content stays pending, so that a
crash does not lose it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Mapping

from hashwacht.cases.case_opening import JudgedFile
from hashwacht.core.types import Reason
from hashwacht.core.watch_events import Announcement, Lane
from hashwacht.daemon.scanner.batch_recorder import VerdictProcessor
from hashwacht.daemon.scanner.readers import NOT_OPENED
from hashwacht.daemon.scanner.runtime import Runtime, RuntimeHandle
from hashwacht.daemon.scanner.threads import Backpressure, retry_until
from hashwacht.engine.judge import JudgedContent, StaleContents
from hashwacht.platform.backoff import Backoff
from hashwacht.storage.journal import PendingContent
from hashwacht.storage.store import Store

SWEEP_FACTOR = 24
"""Comparisons of the roots for each look at all contents without a valid answer."""

BATCH = 64
"""Contents in one lookup."""

PROBE = 4
"""Contents in one lookup while no matcher has answered."""

MAX_UNANSWERED = 3
"""Batches in a row without any answer after which the rest has to wait."""

RETRY = Backoff(1.0, 60.0)
"""Between two attempts while no matcher answers."""

TICK = 1.0
"""Seconds between two checks whether something has to be asked."""


class RecheckLoop:
    """Asks again.  ``run`` in a thread of its own."""

    def __init__(
        self,
        store: Store,
        runtime: RuntimeHandle,
        verdicts: VerdictProcessor,
        *,
        stop: threading.Event,
        has_uploads: Callable[[], bool],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._runtime, self._verdicts = store, runtime, verdicts
        self._stop, self._clock = stop, clock
        self._backpressure = Backpressure(store, Lane.RECONCILE, stop, has_uploads)
        self._failures, self._due = 0, 0.0
        self._knowledge_id, self._swept = "", 0.0
        self._after: int | None = None

    def run(self) -> None:
        """Ask until the stop."""
        while not self._stop.is_set():
            self._verdicts.matcher_recovered.wait(TICK if self._after is None else 0.0)
            with self._runtime.borrow() as runtime:
                if self._pending_due():
                    self._verdicts.matcher_recovered.clear()
                    self._ask_pending(runtime)
                self._sweep(runtime)

    def _pending_due(self) -> bool:
        return self._verdicts.matcher_recovered.is_set() or time.monotonic() >= self._due

    def _ask_pending(self, runtime: Runtime) -> None:
        after: PendingContent | None = None
        unanswered, size, restart = 0, PROBE, True
        while unanswered < MAX_UNANSWERED and not self._stop.is_set():
            rows = self._store.pending.load_next(size, after)
            if not rows:
                break
            after = rows[-1]
            answered = self._ask({row.content: row for row in rows}, runtime)
            if answered and unanswered and restart:  # it has just recovered: older ones first
                after, restart = None, False
            unanswered, size = (0, BATCH) if answered else (unanswered + 1, PROBE)
            self._backpressure.yield_to_uploads()
        self._failures = self._failures + 1 if unanswered else 0
        self._due = time.monotonic() + RETRY.delay(max(1, self._failures))

    def _sweep(self, runtime: Runtime) -> None:
        """Ask about all contents without a valid answer, once for each change of a list.

        Matchers that fail are not asked here, and pending contents are left to ``_ask_pending``.
        """
        knowledge_id, now = runtime.pipeline.matcher_set.knowledge_id, time.monotonic()
        overdue = now - self._swept > SWEEP_FACTOR * runtime.settings.rescan_interval
        if knowledge_id != self._knowledge_id or overdue:
            self._knowledge_id, self._swept, self._after = knowledge_id, now, 0
        while self._after is not None and not (self._pending_due() or self._stop.is_set()):
            failing = self._verdicts.matcher_health.failing()
            stale = StaleContents(self._store, runtime.pipeline.matcher_set, self._clock)
            contents = stale.load(self._after, BATCH)
            numbers = self._verdicts.with_containers(contents)
            pending = self._store.pending.load(numbers)
            asked = [number for number in numbers if failing or number not in pending]
            self._ask({number: pending.get(number) for number in asked}, runtime, failing)
            self._after = max(contents, default=None)
            self._backpressure.yield_to_uploads()

    def _ask(
        self,
        contents: Mapping[int, PendingContent | None],
        runtime: Runtime,
        unavailable: Collection[str] = (),
    ) -> int:
        """Ask about contents and act on the verdicts; return how many are not pending now."""
        judged = retry_until(
            lambda: self._verdicts.judge(runtime, contents, unavailable=unavailable), self._stop
        )
        rows = {
            number: contents[number] or self._pending_row(number, runtime)
            for number, content in judged.items()
            if contents[number] or content.outcome_changed or content.is_pending
        }
        retry_until(lambda: self._verdicts.record(judged, rows.values()), self._stop)
        retry_until(lambda: self._announce_unread(judged), self._stop)
        pending = {number for number, content in judged.items() if content.is_pending}
        pending |= {
            number
            for number, row in rows.items()
            if number not in pending and not self._apply(judged[number], row, runtime)
        }
        done = contents.keys() - pending
        retry_until(lambda: self._store.pending.remove(done), self._stop)
        return len(done)

    def _pending_row(self, content: int, runtime: Runtime) -> PendingContent:
        """Return a row, with any of its paths, for a content that was not pending."""
        (path,) = self._store.files.load_paths(content, 1) or [b""]
        root = runtime.roots.innermost(path)
        name = root.name if root else ""
        return PendingContent(content, Lane.RECONCILE, self._clock(), name, path)

    def _apply(self, judged: JudgedContent, row: PendingContent, runtime: Runtime) -> bool:
        self._verdicts.apply_to_upload(runtime, judged.now.fingerprint.key)
        paths = self._store.files.load_paths(row.content) or [row.path]
        applied = [self._apply_at(path, judged, row, runtime) for path in paths if path]
        return all(applied)

    def _apply_at(
        self, path: bytes, judged: JudgedContent, row: PendingContent, runtime: Runtime
    ) -> bool:
        root = runtime.roots.innermost(path)
        if root is None:
            return True  # scanned outside of all roots: no policy applies
        parent, name = os.path.split(path)
        known = self._store.files.load(parent, name)
        file = JudgedFile(
            root=root.name,
            path=path,
            fd=None,
            id=known.id if known and known.content == row.content else NOT_OPENED,
            fingerprint=judged.now.fingerprint,
            answers=judged.now.answers,
            verdict=judged.now.verdict,
        )
        return self._verdicts.apply(runtime, file, None)

    def _announce_unread(self, judged: Mapping[int, JudgedContent]) -> None:
        """Announce the files of contents that lack the signals to be decided: read them again."""
        announcements = [
            Announcement("", path)
            for number, content in judged.items()
            if content.now.verdict.reason in {Reason.NEEDS_EXACT_HASH, Reason.NOT_COMPUTED}
            for path in self._store.files.load_paths(number)
        ]
        if announcements:
            self._store.journal.record(announcements, Lane.RECONCILE, self._clock())
