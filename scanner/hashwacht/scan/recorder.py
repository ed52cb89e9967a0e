"""The recording side of a scan: one thread that asks, decides, writes and reports.

Everything that reading produced arrives here in one bounded queue and leaves in batches: one
transaction keeps the fingerprints (a crash from here on costs no second read), the matchers
are asked about what is not answered yet, what was found is told, and a second transaction keeps
answers, verdicts, the directories that are done and the tally that includes them.  A crash may
so repeat a message, but never swallow one.

A batch of messages, sorted by what the recorder has to do about them.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import Empty, Queue
from threading import Event
from typing import Self

from hashwacht.core.errors import Interrupted
from hashwacht.core.types import FileId, Outcome, Reason, Verdict
from hashwacht.scan.judging import ContentJudge, JudgedContent
from hashwacht.scan.messages import (
    DirectoriesUnchanged,
    DirectoryListed,
    DirectoryProgress,
    DirectoryUnreadable,
    FileKnown,
    FileRead,
    FileUnreadable,
    FileVanished,
    ScanMessage,
    WalkedFile,
)
from hashwacht.scan.progress import ScanResult
from hashwacht.scan.tally import Tally
from hashwacht.scan.timings import ScanStage, Timings
from hashwacht.scan.walker import HardLinks
from hashwacht.storage.files import FileRow
from hashwacht.storage.runs import Run
from hashwacht.storage.store import Store


@dataclass(slots=True)
class MessageBatch:
    """*settled* counts by directory how many announced files are accounted for.

    *gone* are names by directory path that are there no more.
    """

    taken: list[FileRead] = field(default_factory=list)
    known: list[FileKnown] = field(default_factory=list)
    unread: list[FileUnreadable] = field(default_factory=list)
    listed: list[DirectoryListed] = field(default_factory=list)
    unchanged: list[DirectoriesUnchanged] = field(default_factory=list)
    refused: list[ScanResult] = field(default_factory=list)
    gone: dict[bytes, list[bytes]] = field(default_factory=dict)
    settled: Counter[DirectoryProgress] = field(default_factory=Counter)

    @classmethod
    def from_messages(cls, messages: Sequence[ScanMessage]) -> Self:
        """Sort *messages*."""
        batch = cls()
        for message in messages:
            batch._sort(message)
        return batch

    def _sort(self, message: ScanMessage) -> None:
        match message:
            case FileRead():
                self.taken.append(message)
            case FileKnown():
                self.known.append(message)
            case FileUnreadable():
                self.unread.append(message)
            case FileVanished(file):
                self.gone.setdefault(file.work.path, []).append(file.name)
            case DirectoryListed(work=work, gone=gone):
                self.listed.append(message)
                self.gone.setdefault(work.path, []).extend(gone)
            case DirectoriesUnchanged():
                self.unchanged.append(message)
            case DirectoryUnreadable(path, detail):
                verdict = Verdict(Outcome.UNDETERMINED, reason=Reason.UNREADABLE, detail=detail)
                self.refused.append(ScanResult((path,), verdict))
        if isinstance(message, FileRead | FileKnown | FileUnreadable | FileVanished):
            self.settled[message.file.work] += 1


BATCH_SIZE = 500
"""Messages in one batch at the most: what one crash can cost in lookups."""

MAX_BATCH_DELAY = 0.2
"""Seconds to wait for more before a smaller batch is recorded."""


class ScanRecorder:
    """Records what one run finds.  ``put`` from any thread, ``run`` in its own."""

    def __init__(
        self,
        *,
        store: Store,
        judging: ContentJudge,
        links: HardLinks[WalkedFile],
        run: Run,
        tally: Tally,
        results: Queue[ScanResult],
        timings: Timings,
        cut: Event,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Go on from *tally*; *results* takes every file that somebody wants to know of.

        Whoever gets them says ``task_done``: only what was told is kept as known.  Once *cut*
        is set, no answer counts any more.
        """
        self.tally = tally
        self.counts = tally.counts()
        self.directory = b""
        self._refused = Tally()
        self._open: set[DirectoryProgress] = set()
        self._store, self._judging, self._links = store, judging, links
        self._run, self._began = run.id, run.started
        self._results, self._clock = results, clock
        self._cut, self._spent = cut, timings
        self._queue: Queue[ScanMessage | None] = Queue(4 * BATCH_SIZE)
        self._pending: list[ScanMessage] = []

    def put(self, message: ScanMessage) -> None:
        """Hand over one message; waits while the recorder is behind."""
        self._queue.put(message)

    def end(self) -> None:
        """Say that nothing more will come; ``run`` returns when all is recorded."""
        self._queue.put(None)

    def run(self) -> None:
        """Record until the end.  Raises StorageError if the state cannot be written."""
        more = True
        while more or self._pending:
            messages, self._pending = self._pending, []
            more = more and self._collect(messages)
            self._record(MessageBatch.from_messages(messages))

    def total_tally(self) -> Tally:
        """Everything that was counted; complete after ``run`` has returned."""
        total = Tally()
        for part in (self.tally, self._refused, *(work.tally for work in self._open)):
            total.add(part)
        return total

    def _collect(self, messages: list[ScanMessage]) -> bool:
        """Fill up a batch; False if the end has come."""
        until = time.monotonic() + MAX_BATCH_DELAY
        while len(messages) < BATCH_SIZE:
            wait = max(0.0, until - time.monotonic()) if messages else None
            try:
                message = self._queue.get(timeout=wait)
            except Empty:
                return True
            if message is None:
                return False
            messages.append(message)
        return True

    def _record(self, batch: MessageBatch) -> None:
        """Keep, ask, count, tell, keep: the order matters, see the module's first lines."""
        now = self._clock()
        with self._spent.measure(ScanStage.STATE):
            ids = self._keep(batch, now)
        known = {*ids.values(), *(message.content for message in batch.known)}
        with self._spent.measure(ScanStage.MATCH):
            judged = self._judging.judge(sorted(known))
        if self._cut.is_set():
            # Answers that came while the matchers were being closed say nothing about the files.
            raise Interrupted("the scan was stopped while matchers were asked")
        results = self._count(batch, ids, judged)
        for result in results:
            self._results.put(result)
        self._results.join()
        done = self._list(batch)
        with self._spent.measure(ScanStage.STATE), self._store.transaction():
            self._judging.keep(judged)
            for path, names in batch.gone.items():
                self._store.files.remove(path, names)
            for work in done:
                work.tally.directory(work.path)
                self.tally.add(work.tally)
                self._store.files.mark_directory_done(work.path, self._run)
            for each in batch.unchanged:
                self.tally.add(each.tally)
                self._store.files.mark_directories_done(each.numbers, self._run)
                self.directory = each.path
            self._store.runs.record_progress(self._run, self.tally.dumps(), now)
        self._open.difference_update(done)
        self.counts = self.total_tally().counts()

    def _keep(self, batch: MessageBatch, now: float) -> dict[str, int]:
        """Keep fingerprints and names before anybody is asked; give content keys their ids."""
        rows: defaultdict[bytes, list[FileRow]] = defaultdict(list)
        if not (batch.taken or batch.known or batch.unread):
            return {}
        with self._store.transaction():
            prints = {each.fingerprint.key: each.fingerprint for each in batch.taken}
            stored = self._store.contents.record(prints.values(), now)
            ids = {key: content.id for key, content in stored.items()}
            for taken in batch.taken:
                rows[taken.file.work.path].append(
                    _row(taken.file, ids[taken.fingerprint.key], at=taken.at)
                )
            for known in batch.known:
                if known.new:
                    rows[known.file.work.path].append(_row(known.file, known.content))
            for unread in batch.unread:
                rows[unread.file.work.path].append(_row(unread.file, None, reason=unread.reason))
            for path, files in rows.items():
                self._store.files.record(path, self._run, files)
        self._share(batch, ids)
        return ids

    def _share(self, batch: MessageBatch, ids: dict[str, int]) -> None:
        """Give what was found to the other names of the same file that waited for it."""
        for taken in batch.taken:
            for other in self._links.release(taken.file.id):
                self._pending.append(FileKnown(other, ids[taken.fingerprint.key], new=True))
        for unread in batch.unread:
            for other in self._links.release(unread.file.id):
                self._pending.append(FileUnreadable(other, unread.reason, unread.detail))

    def _count(
        self, batch: MessageBatch, ids: dict[str, int], judged: dict[int, JudgedContent]
    ) -> list[ScanResult]:
        """Count every file with its verdict; give those that somebody wants to know of."""
        results = list(batch.refused)
        for each in judged.values():
            self.tally.count_answers(each.now)
        for taken in batch.taken:
            taken.file.work.tally.count_read(taken.fingerprint.size, taken.seconds)
            self._spent.add(ScanStage.FINGERPRINT, taken.seconds, taken.fingerprint.kind)
            results += self._settle(taken.file, judged[ids[taken.fingerprint.key]])
        for known in batch.known:
            known.file.work.tally.unchanged += not known.new
            results += self._settle(known.file, judged[known.content])
        for unread in batch.unread:
            verdict = Verdict(Outcome.UNDETERMINED, reason=unread.reason, detail=unread.detail)
            results.append(ScanResult((unread.file.path,), verdict, size=unread.file.id.size))
            unread.file.work.tally.count_verdict(verdict)
        for _ in batch.refused:
            self._refused.errors += 1
        return results

    def _settle(self, file: WalkedFile, judged: JudgedContent) -> list[ScanResult]:
        """Count one file in its directory; give it back if somebody wants to know of it."""
        verdict, fingerprint = judged.now.verdict, judged.now.fingerprint
        file.work.tally.count_verdict(verdict)
        file.work.tally.new_matches += judged.matches_since(self._began)
        if verdict.outcome is Outcome.NO_MATCH and not verdict.suppressed:
            return []
        return [
            ScanResult((file.path,), verdict, fingerprint.kind, fingerprint.size, fingerprint.key)
        ]

    def _list(self, batch: MessageBatch) -> list[DirectoryProgress]:
        """Take in what the walker listed; give the directories that are done."""
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


def _row(
    file: WalkedFile, content: int | None, *, at: FileId | None = None, reason: Reason | None = None
) -> FileRow:
    return (file.name, at or file.id, file.nlink, content, reason)
