"""Asking about contents, keeping what was said, and letting follow what follows from it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping

from hashwacht.cases.case_opening import JudgedFile
from hashwacht.core.errors import HashwachtError
from hashwacht.core.types import Outcome
from hashwacht.daemon.scanner.counters import Counters
from hashwacht.daemon.scanner.runtime import SILENT, MatcherHealthTracker, Runtime
from hashwacht.scan.judging import ContentJudge, JudgedContent
from hashwacht.storage.pending import PendingContent
from hashwacht.storage.store import Store

_log = logging.getLogger(__name__)

MAX_CONCURRENT_BATCHES = 2
"""Batches of uploads for which services are asked at the same time, so that of those who record
some are always free to go on without."""

PATIENCE = 2.0
"""Seconds to wait for such a turn: so long must a service have been busy with others."""


class VerdictProcessor:
    """The way of a content from its number to its consequences.  Thread-safe."""

    def __init__(
        self, store: Store, counting: Counters, clock: Callable[[], float] = time.time
    ) -> None:
        """*back* is set when a matcher answers again.  *clock* gives Unix time."""
        self._store, self._counting, self._clock = store, counting, clock
        self.matcher_health = MatcherHealthTracker()
        self.matcher_recovered = threading.Event()
        self._turns = threading.Semaphore(MAX_CONCURRENT_BATCHES)

    def judge_now(self, parts: Runtime, contents: Collection[int]) -> dict[int, JudgedContent]:
        """As ``judge``, but never wait long: whoever is silent is asked later, by somebody else."""
        services = {
            configured.matcher.name
            for configured in parts.pipeline.matcher_set.matchers
            if configured.max_age is not None
        }
        unavailable = services & self.matcher_health.failing()
        if unavailable == services:
            return self.judge(parts, contents, unavailable)
        if not self._turns.acquire(timeout=PATIENCE):
            return self.judge(parts, contents, services)
        try:
            return self.judge(parts, contents, unavailable)
        finally:
            self._turns.release()

    def judge(
        self, parts: Runtime, contents: Collection[int], unavailable: Collection[str] = ()
    ) -> dict[int, JudgedContent]:
        """Bring these contents up to date, by number.  Writes nothing."""
        judging = ContentJudge(self._store, parts.pipeline.matcher_set, self._clock)
        judged = judging.judge(contents, unavailable)
        fresh = [answer for each in judged.values() for answer in each.now.new_answers]
        if self.matcher_health.record(fresh):
            self.matcher_recovered.set()
        return judged

    def record(
        self, parts: Runtime, judged: Mapping[int, JudgedContent], waiting: Iterable[PendingContent]
    ) -> None:
        """Keep answers and verdicts, and which contents are to be looked after; all or nothing."""
        with self._store.transaction():
            ContentJudge(self._store, parts.pipeline.matcher_set, self._clock).keep(judged)
            self._store.pending.record(waiting)

    def apply(self, parts: Runtime, found: JudgedFile, delay: float | None) -> bool:
        """Let follow what follows from a verdict; False if it has to be tried again.

        *delay* is how many seconds the file waited for it, None if nobody did.
        """
        try:
            action = parts.casework.settle(found)
        except HashwachtError as error:
            _log.warning("what follows from a verdict has to wait: %s", error.message)
            self._counting.count_action("", failed=True)
            return False
        except Exception:  # noqa: BLE001  # the application's code; the upload is checked all the same
            _log.exception("what follows from a verdict could not be done")
            self._counting.count_action("", failed=True)
            return False
        self._counting.count_verdict(found.verdict.outcome, found.fingerprint.size, delay)
        self._counting.count_action(action.value)
        return True

    def apply_to_upload(self, parts: Runtime, key: str) -> None:
        """Let follow what follows from a verdict on what a web application told about.

        What fails is tried again with ``retry``.
        """
        try:
            parts.casework.settle_upload(key)
        except (HashwachtError, OSError) as error:
            _log.warning("what follows from the verdict on an upload has to wait: %s", error)

    def retry(self, parts: Runtime) -> None:
        """Try again what failed of what follows."""
        parts.casework.retry(self._clock())


def is_waiting(judged: JudgedContent) -> bool:
    """Say if a content is undetermined because somebody did not answer who may do so later."""
    return judged.now.verdict.outcome is Outcome.UNDETERMINED and any(
        answer.outcome is Outcome.UNDETERMINED and answer.reason in SILENT
        for answer in judged.now.answers
    )
