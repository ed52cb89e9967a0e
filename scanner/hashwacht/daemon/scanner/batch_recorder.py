"""Recording results in batches, in an order that survives a crash at any point.

Fingerprints and names are recorded, matchers are asked, answers and verdicts are recorded, actions
are taken, and only then the entries of the journal are removed.  After a crash in between the rest
is done again from the journal: nothing is lost, a known file is not read twice, and actions know
what has been done already.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from hashwacht.cases.case_opening import JudgedFile
from hashwacht.core.errors import HashwachtError
from hashwacht.core.types import Answer, Reason
from hashwacht.core.watch_events import Lane
from hashwacht.daemon.scanner.counters import Counters
from hashwacht.daemon.scanner.dispatcher import FilePostponed, JournaledFile, ReadResult
from hashwacht.daemon.scanner.runtime import MatcherHealthTracker, Runtime
from hashwacht.daemon.scanner.threads import retry_until
from hashwacht.daemon.scanner.unsettled import other_names
from hashwacht.engine.judge import ContentJudge, JudgedContent
from hashwacht.engine.read import FileContent, FileUnreadable, FileVanished
from hashwacht.engine.record import record_files, remove_vanished
from hashwacht.matching.matcher_set import EarlierAnswers, LookupRequest
from hashwacht.pipeline import Judgement, judge_all
from hashwacht.platform.backoff import Backoff
from hashwacht.storage.contents import StoredContent
from hashwacht.storage.journal import JournalEntry, PendingContent
from hashwacht.storage.store import Store

_log = logging.getLogger(__name__)

RUN = 0
"""Stored instead of the number of a scan for files that the daemon has read."""

RETRY_DELAY = 1.0
"""Seconds until a failed action is retried, at first."""

MAX_CONCURRENT_LOOKUPS = 2
"""Batches for which services are asked at the same time, so that other recorders stay free."""

LOOKUP_WAIT = 2.0
"""Seconds to wait until one of these lookups has ended."""


class VerdictProcessor:
    """Judges contents for the daemon and triggers what follows from the verdict.  Thread-safe."""

    def __init__(
        self,
        store: Store,
        counters: Counters,
        closing: threading.Event,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Set *closing* before the matchers are closed; *clock* returns Unix time.

        ``matcher_recovered`` is set when a matcher answers again.
        """
        self._judge, self._counters = ContentJudge(store, clock, closing), counters
        self._clock = clock
        self.matcher_health = MatcherHealthTracker()
        self.matcher_recovered = threading.Event()
        self._lookups = threading.Semaphore(MAX_CONCURRENT_LOOKUPS)

    def judge(
        self,
        runtime: Runtime,
        contents: Collection[int],
        loaded: Mapping[int, StoredContent] | None = None,
        unavailable: Collection[str] = (),
        earlier: Mapping[int, EarlierAnswers] | None = None,
    ) -> dict[int, JudgedContent]:
        """Return the judgements of these contents by number; see :meth:`ContentJudge.judge`."""
        matchers = runtime.pipeline.matcher_set
        judged = self._judge.judge(matchers, contents, loaded, unavailable, earlier)
        self._record_health(answer for c in judged.values() for answer in c.now.new_answers)
        return judged

    def with_containers(self, contents: Iterable[int]) -> list[int]:
        """Return *contents* and the archives that contain any of them."""
        return self._judge.with_containers(contents)

    def _record_health(self, answers: Iterable[Answer]) -> None:
        if self.matcher_health.record(list(answers)):
            self.matcher_recovered.set()

    def judge_digests(self, runtime: Runtime, request: LookupRequest) -> Judgement:
        """Judge a content by its digests, without a long wait; writes nothing."""
        return self.judge_signals(runtime, [request])[0]

    def judge_signals(self, runtime: Runtime, requests: Sequence[LookupRequest]) -> list[Judgement]:
        """Judge contents by the signals in *requests*, without a long wait; writes nothing."""
        with self._lookup_turn(runtime) as unavailable:
            matchers, now = runtime.pipeline.matcher_set, self._clock()
            judgements = judge_all(matchers, requests, now, unavailable)
        self._record_health(answer for judged in judgements for answer in judged.new_answers)
        return judgements

    def judge_without_services(self, runtime: Runtime, request: LookupRequest) -> Judgement:
        """Judge a content by lists and answers so far; a service that is due leaves it open."""
        matchers, now = runtime.pipeline.matcher_set, self._clock()
        return judge_all(matchers, [request], now, _services(runtime))[0]

    def judge_now(
        self,
        runtime: Runtime,
        contents: Collection[int],
        loaded: Mapping[int, StoredContent] | None = None,
        earlier: Mapping[int, EarlierAnswers] | None = None,
    ) -> dict[int, JudgedContent]:
        """Judge without a long wait: services that fail or are busy are asked later."""
        with self._lookup_turn(runtime) as unavailable:
            return self.judge(runtime, contents, loaded, unavailable, earlier)

    @contextmanager
    def _lookup_turn(self, runtime: Runtime) -> Iterator[frozenset[str]]:
        """Wait for a turn to ask services; yield those that are not to be asked now."""
        services = _services(runtime)
        unavailable = services & self.matcher_health.failing()
        if unavailable == services or not self._lookups.acquire(timeout=LOOKUP_WAIT):
            yield services
            return
        try:
            yield unavailable
        finally:
            self._lookups.release()

    def record(
        self, judged: Mapping[int, JudgedContent], pending: Iterable[PendingContent]
    ) -> None:
        """Record answers, verdicts and contents to ask about later, in one transaction."""
        self._judge.record(judged, pending)

    def record_new(self, judgement: Judgement, knowledge_id: str) -> None:
        """Record a content that the storage does not have, with its verdict, in one transaction."""
        self._judge.record_new(judgement, knowledge_id)

    def apply(self, runtime: Runtime, file: JudgedFile, delay: float | None) -> bool:
        """Open a case and act, as the policy says; return False if this must be retried.

        *delay* is how many seconds an upload has waited for the verdict, None for other files.
        """
        try:
            action = runtime.casework.apply_verdict(file)
        except Exception as error:  # noqa: BLE001  # a defect must not end the thread: it is retried
            if isinstance(error, HashwachtError):
                _log.warning("an action cannot be taken now, it is tried again: %s", error.message)
            else:
                _log.exception("an action failed, it is tried again")
            self._counters.count_action("", failed=True)
            return False
        self._counters.count_verdict(file.verdict.outcome, file.fingerprint.size, delay)
        self._counters.count_action(action.value)
        return True

    def apply_to_upload(self, runtime: Runtime, key: str) -> None:
        """Act on an upload that a web application sent; what fails is retried later."""
        try:
            runtime.casework.open_upload_case(key)
        except (HashwachtError, OSError) as error:
            _log.warning("an action on an upload cannot be taken now: %s", error)


def _services(runtime: Runtime) -> frozenset[str]:
    """Return the names of the matchers that a lookup may have to wait for."""
    return frozenset(
        configured.matcher.name
        for configured in runtime.pipeline.matcher_set.matchers
        if configured.max_age is not None
    )


class BatchRecorder:
    """Records batches of results.  Thread-safe: a slow service delays one batch, not all."""

    def __init__(
        self,
        store: Store,
        verdicts: VerdictProcessor,
        stop: threading.Event,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._verdicts, self._stop, self._clock = store, verdicts, stop, clock
        self.on_settled: Callable[[Iterable[FileContent[JournaledFile]]], None] = lambda _: None
        """Called with the files of each batch for which everything was done."""

    def record(self, results: Sequence[ReadResult], runtime: Runtime) -> None:
        """Take a batch through all steps and close its descriptors.

        Raises Interrupted at a stop: the journal still has the whole batch.
        """
        store, stop, verdicts = self._store, self._stop, self._verdicts
        contents = [result for result in results if isinstance(result, FileContent)]
        failures = [result for result in results if isinstance(result, FileUnreadable)]
        try:
            recorded = retry_until(
                lambda: record_files(store, RUN, contents, failures, self._clock()), stop
            )
            numbers = {content: recorded.content_of(content) for content in contents}
            distinct = dict.fromkeys(numbers.values())
            judged = retry_until(
                lambda: verdicts.judge_now(runtime, distinct, recorded.contents), stop
            )
            waiting = [
                (number, content.file.root, content.file.entry)
                for content, number in numbers.items()
                if number in judged and judged[number].is_pending
            ]
            pending = {
                number: PendingContent(number, entry.lane, entry.announced, root, entry.path)
                for number, root, entry in waiting
            }
            retry_until(lambda: verdicts.record(judged, pending.values()), stop)
            failed = {
                content.file.entry
                for content, number in numbers.items()
                if not self._apply(content, judged.get(number), runtime)
            }
            retry_until(lambda: self._settle(results, failed, runtime), stop)
        finally:
            for content in contents:
                assert content.fd is not None
                os.close(content.fd)

    def postpone(self, results: Sequence[ReadResult], runtime: Runtime) -> None:
        """Read all files of a batch again later, each time later."""
        entries = {result.file.entry for result in results}
        times = self._retry_times(entries, runtime)
        retry_until(lambda: self._store.journal.postpone(times), self._stop)

    def _retry_times(
        self, entries: Collection[JournalEntry], runtime: Runtime
    ) -> dict[JournalEntry, float]:
        backoff = Backoff(RETRY_DELAY, runtime.settings.max_settle_time)
        now = self._clock()
        return {entry: now + backoff.delay(entry.attempts + 1) for entry in entries}

    def _apply(
        self, content: FileContent[JournaledFile], judged: JudgedContent | None, runtime: Runtime
    ) -> bool:
        if judged is None:
            return False  # the content has left the storage: the next attempt reads it again
        entry, now = content.file.entry, judged.now
        file = JudgedFile(
            root=content.file.root,
            path=entry.path,
            fd=content.fd,
            id=content.id,
            fingerprint=now.fingerprint,
            answers=now.answers,
            verdict=now.verdict,
        )
        delay = self._clock() - entry.announced if entry.lane is Lane.UPLOAD else None
        applied = self._verdicts.apply(runtime, file, delay)
        # A list may have been installed while the file was read: then it is read again.
        return applied and now.verdict.reason is not Reason.NOT_COMPUTED

    def _settle(
        self, results: Sequence[ReadResult], failed: set[JournalEntry], runtime: Runtime
    ) -> None:
        done: list[JournalEntry] = []
        unsettled: dict[JournalEntry, float] = {}
        contents = [result for result in results if isinstance(result, FileContent)]
        postponed = self._retry_times(failed, runtime)
        for result in results:
            entry = result.file.entry
            if isinstance(result, FilePostponed):
                postponed[entry] = result.due
            elif isinstance(result, FileUnreadable) and result.retry_at is not None:
                postponed[entry] = result.retry_at
            elif entry in failed:
                continue
            elif isinstance(result, FileContent) and result.reread_at is not None:
                unsettled[entry] = result.reread_at
            else:
                done.append(entry)
        vanished = [result for result in results if isinstance(result, FileVanished)]
        changed = [result for result in contents if not result.recorded]
        with self._store.transaction():
            self._store.journal.remove(done)
            for result in results:
                if isinstance(result, FilePostponed) and result.deferred:
                    self._store.journal.defer(result.file.entry)
            self._store.journal.postpone(postponed)
            self._store.journal.keep_unsettled(unsettled)
            others = other_names(self._store, [*changed, *vanished])
            self._store.journal.record(others, Lane.UPLOAD, self._clock())
            remove_vanished(self._store, vanished)
        self.on_settled(content for content in contents if content.file.entry not in failed)
