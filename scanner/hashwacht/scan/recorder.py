"""The recording side of a scan: one thread that records, asks, reports and counts in batches.

The order of the steps decides what a crash costs.  The first transaction records fingerprints, so
that nothing is read twice.  Then matchers are asked and results are reported.  The second
transaction records answers, verdicts, finished directories and the tally that includes them.  A
crash may repeat a report but never lose one.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import Empty, Queue
from typing import Self

from hashwacht.core.types import Outcome, Reason, Verdict
from hashwacht.engine.judge import ContentJudge, JudgedContent
from hashwacht.engine.read import FileContent, FileUnreadable, FileVanished
from hashwacht.engine.record import RecordedFiles, record_files, remove_vanished
from hashwacht.matching.matcher_set import MatcherSet
from hashwacht.scan.progress import ScanResult
from hashwacht.scan.tally import ScanStage, Tally, Timings
from hashwacht.scan.walker import (
    DirectoriesUnchanged,
    DirectoryListed,
    DirectoryProgress,
    DirectoryUnreadable,
    HardLinks,
    ScanMessage,
    WalkedFile,
)
from hashwacht.storage.runs import Run
from hashwacht.storage.store import Store

BATCH_SIZE = 2000
"""Messages in one batch, or a few more: the lookups that a crash can cost."""

_MAX_QUEUED = 512
"""Groups of messages that wait for the recorder; up to 32 in one."""

MAX_BATCH_DELAY = 0.2
"""Seconds to wait for more messages before a smaller batch is recorded."""


@dataclass(slots=True)
class MessageBatch:
    """The messages of a batch by kind; *settled* counts the results of each directory."""

    contents: list[FileContent[WalkedFile]] = field(default_factory=list)
    failures: list[FileUnreadable[WalkedFile]] = field(default_factory=list)
    vanished: list[FileVanished[WalkedFile]] = field(default_factory=list)
    listed: list[DirectoryListed] = field(default_factory=list)
    unchanged: list[DirectoriesUnchanged] = field(default_factory=list)
    unlisted: list[ScanResult] = field(default_factory=list)
    settled: Counter[DirectoryProgress] = field(default_factory=Counter)

    @classmethod
    def from_messages(cls, messages: Sequence[ScanMessage]) -> Self:
        """Sort *messages* by kind."""
        batch = cls()
        for message in messages:
            match message:
                case FileContent():
                    batch.contents.append(message)
                case FileUnreadable():
                    batch.failures.append(message)
                case FileVanished():
                    batch.vanished.append(message)
                case DirectoryListed():
                    batch.listed.append(message)
                    continue
                case DirectoriesUnchanged():
                    batch.unchanged.append(message)
                    continue
                case DirectoryUnreadable(path, detail):
                    reason = Reason.UNREADABLE
                    verdict = Verdict(Outcome.UNDETERMINED, reason=reason, detail=detail)
                    batch.unlisted.append(ScanResult((path,), verdict))
                    continue
            batch.settled[message.file.work] += 1
        return batch


class ScanRecorder:
    """Records the results of one run.  ``put`` from any thread, ``run`` in one of its own."""

    def __init__(
        self,
        *,
        store: Store,
        judge: ContentJudge,
        matcher_set: MatcherSet,
        links: HardLinks,
        run: Run,
        tally: Tally,
        results: Queue[ScanResult],
        timings: Timings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Continue from *tally*; *results* receives every file that is reported.

        The consumer calls ``task_done``: only what was reported is recorded as known.
        """
        self.tally, self.counts, self.directory = tally, tally.counts(), b""
        self._unlisted = Tally()
        self._open: set[DirectoryProgress] = set()
        self._store, self._judge, self._matcher_set, self._links = store, judge, matcher_set, links
        self._run, self._began = run.id, run.started
        self._results, self._clock, self._timings = results, clock, timings
        self._queue: Queue[Sequence[ScanMessage] | None] = Queue(_MAX_QUEUED)
        self._pending: list[ScanMessage] = []

    def put(self, *messages: ScanMessage) -> None:
        """Add messages; blocks while the recorder is behind."""
        if messages:
            self._queue.put(messages)

    def end(self) -> None:
        """Announce the end; ``run`` returns when everything is recorded."""
        self._queue.put(None)

    def run(self) -> None:
        """Record until the end.  Raises StorageError if the storage cannot be written."""
        more = True
        while more or self._pending:
            messages, self._pending = self._pending, []
            more = more and self._collect(messages)
            self._record(MessageBatch.from_messages(messages))

    def total_tally(self) -> Tally:
        """Return everything counted so far; complete after ``run`` has returned."""
        total = Tally()
        for part in (self.tally, self._unlisted, *(work.tally for work in self._open)):
            total.add(part)
        return total

    def _collect(self, messages: list[ScanMessage]) -> bool:
        """Fill up a batch; return False at the end."""
        until = time.monotonic() + MAX_BATCH_DELAY
        while len(messages) < BATCH_SIZE:
            wait = max(0.0, until - time.monotonic()) if messages else None
            try:
                more = self._queue.get(timeout=wait)
            except Empty:
                return True
            if more is None:
                return False
            messages += more
        return True

    def _record(self, batch: MessageBatch) -> None:
        """Take a batch through all steps, in the order that the module describes."""
        now = self._clock()
        with self._timings.measure(ScanStage.STATE):
            recorded = record_files(self._store, self._run, batch.contents, batch.failures, now)
            self._share(batch, recorded)
        with self._timings.measure(ScanStage.MATCH):
            numbers = sorted({recorded.content_of(result) for result in batch.contents})
            judged = self._judge.judge(self._matcher_set, numbers, recorded.contents)
        for result in self._count(batch, recorded, judged):
            self._results.put(result)
        self._results.join()
        done = self._settle(batch)
        with self._timings.measure(ScanStage.STATE), self._store.transaction():
            self._judge.record(judged)
            remove_vanished(self._store, batch.vanished)
            self._record_directories(batch, done)
            self._store.runs.record_progress(self._run, self.tally.dumps(), now)
        self._open.difference_update(done)
        self.counts = self.total_tally().counts()

    def _record_directories(self, batch: MessageBatch, done: list[DirectoryProgress]) -> None:
        files = self._store.files
        for listed in batch.listed:
            if listed.vanished:
                files.remove(listed.work.path, listed.vanished)
        for work in done:
            work.tally.end_directory(work.path)
            self.tally.add(work.tally)
            files.mark_directory_done(work.path, self._run)
        for unchanged in batch.unchanged:
            self.tally.add(unchanged.tally)
            files.mark_directories_done(unchanged.numbers, self._run)
            self.directory = unchanged.path

    def _share(self, batch: MessageBatch, recorded: RecordedFiles) -> None:
        for result in batch.contents:
            if result.fingerprint is not None:
                content = recorded.content_of(result)
                self._pending += [
                    FileContent(name, name.id, name.nlink, content=content)
                    for name in self._links.release(result.file)
                ]
        for failure in batch.failures:
            self._pending += [
                FileUnreadable(name, name.id, name.nlink, failure.reason, failure.detail)
                for name in self._links.release(failure.file)
            ]

    def _count(
        self, batch: MessageBatch, recorded: RecordedFiles, judged: dict[int, JudgedContent]
    ) -> list[ScanResult]:
        results = list(batch.unlisted)
        self._unlisted.errors += len(batch.unlisted)
        for content in judged.values():
            self.tally.count_answers(content.now)
        for result in batch.contents:
            tally, fingerprint = result.file.work.tally, result.fingerprint
            if fingerprint is not None:
                tally.count_read(fingerprint.size, result.seconds)
                self._timings.add(ScanStage.FINGERPRINT, result.seconds, fingerprint.kind)
            else:
                tally.unchanged += result.recorded
            number = recorded.content_of(result)
            is_new = number != result.file.previous_content
            results += self._count_verdict(result.file, judged[number], is_new=is_new)
        for failure in batch.failures:
            file = failure.file
            verdict = Verdict(Outcome.UNDETERMINED, reason=failure.reason, detail=failure.detail)
            results.append(ScanResult((file.path,), verdict, size=file.id.size))
            file.work.tally.count_verdict(verdict)
        return results

    def _count_verdict(
        self, file: WalkedFile, judged: JudgedContent, *, is_new: bool
    ) -> list[ScanResult]:
        verdict, fingerprint = judged.now.verdict, judged.now.fingerprint
        file.work.tally.count_verdict(verdict)
        is_new_match = is_new and verdict.outcome is Outcome.MATCH
        file.work.tally.new_matches += is_new_match or judged.matches_since(self._began)
        if verdict.accepted or (verdict.outcome is Outcome.NO_MATCH and not verdict.suppressed):
            return []
        content = fingerprint.kind, fingerprint.size, fingerprint.key
        return [ScanResult((file.path,), verdict, *content)]

    def _settle(self, batch: MessageBatch) -> list[DirectoryProgress]:
        touched = set(batch.settled)
        for work, settled in batch.settled.items():
            work.settled += settled
        for listed in batch.listed:
            work = listed.work
            work.tally.add(listed.tally)
            work.expected += listed.expected
            work.listed = listed.last
            self.directory = work.path
            touched.add(work)
        self._open |= touched
        return [work for work in touched if work.done]
