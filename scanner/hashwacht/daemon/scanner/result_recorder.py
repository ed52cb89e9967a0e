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

from hashwacht.cases.case_opening import Found
from hashwacht.core.errors import Interrupted
from hashwacht.core.watch_events import Lane
from hashwacht.daemon.scanner.file_reader import Gone, Later, Look, Seen, Unread, pause
from hashwacht.daemon.scanner.judge import Verdicts, is_waiting
from hashwacht.daemon.scanner.runtime import Parts
from hashwacht.daemon.scanner.threads import patiently
from hashwacht.scan.judging import Judged
from hashwacht.storage.files import Look as Row
from hashwacht.storage.journal import Entry
from hashwacht.storage.pending import Waiting
from hashwacht.storage.store import Store

_log = logging.getLogger(__name__)

RUN = 0
"""What stands in the state in place of the number of a scan: the daemon has looked."""

AGAIN = 1.0
"""Seconds until what failed after a verdict is tried again, at first."""


class Clerk:
    """Records batches.  Thread-safe: a service that is slow holds up one batch, not all."""

    def __init__(
        self,
        store: Store,
        verdicts: Verdicts,
        stop: threading.Event,
        cut: threading.Event,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Once *cut* is set no answer counts any more: matchers are being closed."""
        self._store, self._verdicts, self._clock = store, verdicts, clock
        self._stop, self._cut = stop, cut

    def record(self, looks: Sequence[Look], parts: Parts) -> None:
        """Take a batch all the way; closes the descriptors in it.

        Raises Interrupted if it was cut off: the journal has all of it still.
        """
        seen = [look for look in looks if isinstance(look, Seen)]
        try:
            contents = patiently(lambda: self._keep(looks), self._stop)
            judged = patiently(
                lambda: self._verdicts.judge_now(parts, dict.fromkeys(contents.values())),
                self._stop,
            )
            if self._cut.is_set():
                raise Interrupted("the daemon was stopped while matchers were asked")
            places = {contents[look.task.entry]: self._place(look, contents) for look in seen}
            waiting = [places[number] for number, each in judged.items() if is_waiting(each)]
            patiently(lambda: self._verdicts.keep(parts, judged, waiting), self._stop)
            failed = {
                look.task.entry
                for look in seen
                if not self._tell(look, judged.get(contents[look.task.entry]), parts)
            }
            patiently(lambda: self._settle(looks, failed, parts), self._stop)
        finally:
            for look in seen:
                os.close(look.fd)

    def put_off(self, looks: Sequence[Look], parts: Parts) -> None:
        """Look at these again later, each time later, because something is wrong with one."""
        entries = {look.task.entry for look in looks}
        patiently(lambda: self._store.journal.postpone(self._later(entries, parts)), self._stop)

    def _later(self, failed: set[Entry], parts: Parts) -> dict[Entry, float]:
        busy, now = parts.settings.busy, self._clock()
        return {entry: now + pause(AGAIN, busy, entry.attempts) for entry in failed}

    def _keep(self, looks: Sequence[Look]) -> dict[Entry, int]:
        """Keep fingerprints and names before anybody is asked; say which content lies where."""
        rows: defaultdict[bytes, list[Row]] = defaultdict(list)
        contents: dict[Entry, int] = {}
        seen = [look for look in looks if isinstance(look, Seen)]
        prints = {look.fingerprint.key: look.fingerprint for look in seen if look.fingerprint}
        unread = [look for look in looks if isinstance(look, Unread)]
        for look in seen:
            if look.content is not None:
                contents[look.task.entry] = look.content
        if not unread and all(look.kept for look in seen):
            return contents
        with self._store.transaction():
            numbers = self._store.contents.add(list(prints.values()), self._clock())
            for look in seen:
                if look.fingerprint:
                    contents[look.task.entry] = numbers[look.fingerprint.key]
                if not look.kept:
                    parent, name = look.task.split
                    rows[parent].append(
                        (name, look.id, look.nlink, contents[look.task.entry], None)
                    )
            for each in unread:
                parent, name = each.task.split
                rows[parent].append((name, each.id, each.nlink, None, each.reason))
            for parent, found in rows.items():
                self._store.files.put(parent, RUN, found)
        return contents

    def _place(self, look: Seen, contents: dict[Entry, int]) -> Waiting:
        entry = look.task.entry
        return Waiting(contents[entry], entry.lane, entry.announced, look.task.root, entry.path)

    def _tell(self, look: Seen, judged: Judged | None, parts: Parts) -> bool:
        if judged is None:
            return False  # its content was not there: the next look finds that out
        entry, now = look.task.entry, judged.now
        found = Found(
            root=look.task.root,
            path=entry.path,
            fd=look.fd,
            id=look.id,
            fingerprint=now.fingerprint,
            answers=now.answers,
            verdict=now.verdict,
        )
        delay = self._clock() - entry.announced if entry.lane is Lane.UPLOAD else None
        return self._verdicts.tell(parts, found, delay)

    def _settle(self, looks: Sequence[Look], failed: set[Entry], parts: Parts) -> None:
        """Strike out what is done, and put off what is not."""
        done: list[Entry] = []
        later = self._later(failed, parts)
        gone: defaultdict[bytes, list[bytes]] = defaultdict(list)
        for look in looks:
            entry = look.task.entry
            if isinstance(look, Later):
                later[entry] = look.due
            elif isinstance(look, Unread) and look.again is not None:
                later[entry] = look.again
            elif entry not in failed:
                done.append(entry)
            if isinstance(look, Gone):
                parent, name = look.task.split
                gone[parent].append(name)
        with self._store.transaction():
            self._store.journal.settle(done)
            self._store.journal.postpone(later)
            for parent, names in gone.items():
                self._store.files.forget(parent, names)
