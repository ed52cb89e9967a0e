"""Recording what the readers found, in batches and in the order that survives any crash.

Fingerprints and names are kept, matchers are asked, answers and verdicts are kept, what follows is
done, and only then the entries of the journal are struck out.  Whoever is killed in between does
the rest again from the journal: nothing is lost, a file that is known is not read twice, and what
follows from a verdict knows what it has done already.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

from hashwacht.cases.case_opening import JudgedFile
from hashwacht.core.errors import Interrupted
from hashwacht.core.watch_events import Lane
from hashwacht.daemon.scanner.file_reader import (
    ContentRead,
    FileGone,
    ReadFailed,
    ReadOutcome,
    ReadPostponed,
    backoff_delay,
)
from hashwacht.daemon.scanner.judge import VerdictProcessor, is_waiting
from hashwacht.daemon.scanner.runtime import Runtime
from hashwacht.daemon.scanner.threads import retry_until
from hashwacht.scan.judging import JudgedContent
from hashwacht.storage.files import FileRow as Row
from hashwacht.storage.journal import JournalEntry
from hashwacht.storage.pending import PendingContent
from hashwacht.storage.store import Store

_log = logging.getLogger(__name__)

RUN = 0
"""What stands in the state in place of the number of a scan: the daemon has looked."""

AGAIN = 1.0
"""Seconds until what failed after a verdict is tried again, at first."""


class BatchRecorder:
    """Records batches.  Thread-safe: a service that is slow holds up one batch, not all."""

    def __init__(
        self,
        store: Store,
        verdicts: VerdictProcessor,
        stop: threading.Event,
        cut: threading.Event,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Once *cut* is set no answer counts any more: matchers are being closed."""
        self._store, self._verdicts, self._clock = store, verdicts, clock
        self._stop, self._cut = stop, cut

    def record(self, looks: Sequence[ReadOutcome], parts: Runtime) -> None:
        """Take a batch all the way; closes the descriptors in it.

        Raises Interrupted if it was cut off: the journal has all of it still.
        """
        seen = [look for look in looks if isinstance(look, ContentRead)]
        try:
            contents = retry_until(lambda: self._keep(looks), self._stop)
            judged = retry_until(
                lambda: self._verdicts.judge_now(parts, dict.fromkeys(contents.values())),
                self._stop,
            )
            if self._cut.is_set():
                raise Interrupted("the daemon was stopped while matchers were asked")
            places = {contents[look.task.entry]: self._place(look, contents) for look in seen}
            waiting = [places[number] for number, each in judged.items() if is_waiting(each)]
            retry_until(lambda: self._verdicts.record(parts, judged, waiting), self._stop)
            failed = {
                look.task.entry
                for look in seen
                if not self._tell(look, judged.get(contents[look.task.entry]), parts)
            }
            retry_until(lambda: self._settle(looks, failed, parts), self._stop)
        finally:
            for look in seen:
                os.close(look.fd)

    def postpone(self, looks: Sequence[ReadOutcome], parts: Runtime) -> None:
        """Look at these again later, each time later, because something is wrong with one."""
        entries = {look.task.entry for look in looks}
        retry_until(lambda: self._store.journal.postpone(self._later(entries, parts)), self._stop)

    def _later(self, failed: set[JournalEntry], parts: Runtime) -> dict[JournalEntry, float]:
        busy, now = parts.settings.max_settle_time, self._clock()
        return {entry: now + backoff_delay(AGAIN, busy, entry.attempts) for entry in failed}

    def _keep(self, looks: Sequence[ReadOutcome]) -> dict[JournalEntry, int]:
        """Keep fingerprints and names before anybody is asked; say which content lies where."""
        rows: defaultdict[bytes, list[Row]] = defaultdict(list)
        contents: dict[JournalEntry, int] = {}
        seen = [look for look in looks if isinstance(look, ContentRead)]
        prints = {look.fingerprint.key: look.fingerprint for look in seen if look.fingerprint}
        unread = [look for look in looks if isinstance(look, ReadFailed)]
        for look in seen:
            if look.content is not None:
                contents[look.task.entry] = look.content
        if not unread and all(look.kept for look in seen):
            return contents
        with self._store.transaction():
            stored = self._store.contents.record(prints.values(), self._clock())
            for look in seen:
                if look.fingerprint:
                    contents[look.task.entry] = stored[look.fingerprint.key].id
                if not look.kept:
                    parent, name = look.task.split
                    rows[parent].append(
                        (name, look.id, look.nlink, contents[look.task.entry], None)
                    )
            for each in unread:
                parent, name = each.task.split
                rows[parent].append((name, each.id, each.nlink, None, each.reason))
            for parent, found in rows.items():
                self._store.files.record(parent, RUN, found)
        return contents

    def _place(self, look: ContentRead, contents: dict[JournalEntry, int]) -> PendingContent:
        entry = look.task.entry
        return PendingContent(
            contents[entry], entry.lane, entry.announced, look.task.root, entry.path
        )

    def _tell(self, look: ContentRead, judged: JudgedContent | None, parts: Runtime) -> bool:
        if judged is None:
            return False  # its content was not there: the next look finds that out
        entry, now = look.task.entry, judged.now
        found = JudgedFile(
            root=look.task.root,
            path=entry.path,
            fd=look.fd,
            id=look.id,
            fingerprint=now.fingerprint,
            answers=now.answers,
            verdict=now.verdict,
        )
        delay = self._clock() - entry.announced if entry.lane is Lane.UPLOAD else None
        return self._verdicts.apply(parts, found, delay)

    def _settle(
        self, looks: Sequence[ReadOutcome], failed: set[JournalEntry], parts: Runtime
    ) -> None:
        """Strike out what is done, and put off what is not."""
        done: list[JournalEntry] = []
        later = self._later(failed, parts)
        gone: defaultdict[bytes, list[bytes]] = defaultdict(list)
        for look in looks:
            entry = look.task.entry
            if isinstance(look, ReadPostponed):
                later[entry] = look.due
            elif isinstance(look, ReadFailed) and look.again is not None:
                later[entry] = look.again
            elif entry not in failed:
                done.append(entry)
            if isinstance(look, FileGone):
                parent, name = look.task.split
                gone[parent].append(name)
        with self._store.transaction():
            self._store.journal.remove(done)
            self._store.journal.postpone(later)
            for parent, names in gone.items():
                self._store.files.remove(parent, names)
