"""Whole directories that came in at once: moved here, or made and filled before anybody looked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from hashwacht.core.watch_events import Cause, Lane, MissedEvents
from hashwacht.daemon.scanner.comparer import CompareResult, Comparison
from hashwacht.daemon.scanner.roots import WatchedRoot
from hashwacht.daemon.scanner.runtime import Runtime, RuntimeHandle
from hashwacht.daemon.scanner.threads import Backpressure, retry_until
from hashwacht.scan.freshness import required_freshness
from hashwacht.storage.journal import JournalEntry
from hashwacht.storage.store import Store

IDLE = 1.0
"""Seconds after which it is looked again without being told to."""

BRIEF = 2.0
"""Seconds of walking after which an upload is none any more, but a bulk: others are waiting."""


class _TooLarge(Exception):
    """A directory takes too long for an upload: no error, but a matter of whose turn it is."""


class TreeWalker:
    """Announces the files of announced directories of one lane.  ``run`` in a thread of its own.

    A directory of the upload lane that takes long is put into the other lane, with the files that
    are found in it from then on: so nobody waits for somebody who moves in a whole archive.
    """

    def __init__(
        self,
        store: Store,
        runtime: RuntimeHandle,
        stop: threading.Event,
        *,
        lane: Lane,
        uploads: Callable[[], bool],
        found: Callable[[], None],
        clock: Callable[[], float] = time.time,
        brief: float = BRIEF,
    ) -> None:
        """Take *uploads*, which says if some are on their way, and *found*, to tell of new work.

        Ring *bell* for a directory.
        """
        self.wakeup = threading.Event()
        self._store, self._runtime, self._stop = store, runtime, stop
        self._lane, self._found, self._clock, self._brief = lane, found, clock, brief
        self._gate = Backpressure(store, lane, stop, uploads)

    def run(self) -> None:
        """Go on until the stop."""
        while not self._stop.is_set():
            self.wakeup.clear()
            entries = retry_until(
                lambda: self._store.journal.load_due_trees(self._lane, self._clock(), 1), self._stop
            )
            for entry in entries:
                with self._runtime.borrow() as parts:
                    self._walk(entry, parts)
            if not entries:
                self.wakeup.wait(IDLE)

    def _walk(self, entry: JournalEntry, parts: Runtime) -> None:
        """Announce what is below a directory; strike it out when all of it is in the journal."""
        root = parts.roots.innermost(entry.path)
        walked = CompareResult()
        if root is not None:
            try:
                walked = self._compare(entry, root, parts)
            except _TooLarge:
                retry_until(lambda: self._store.journal.defer(entry), self._stop)
                return
            except OSError as error:
                walked.unlisted.append((entry.path, error.strerror or str(error)))
        retry_until(lambda: self._settle(entry, walked), self._stop)
        self._found()

    def _compare(self, entry: JournalEntry, root: WatchedRoot, parts: Runtime) -> CompareResult:
        """Walk.  Raises _TooLarge, OSError."""
        until = time.monotonic() + self._brief

        def step() -> None:
            nonlocal until
            self._found()
            before = time.monotonic()
            if self._lane is Lane.UPLOAD and before > until:
                raise _TooLarge
            self._gate.step(parts.settings.max_backlog)
            until += time.monotonic() - before

        comparison = Comparison(
            self._store,
            root,
            required_freshness(self._store, parts.pipeline, self._clock()),
            lane=self._lane,
            clock=self._clock,
            stop=self._stop,
            step=step,
        )
        return comparison.walk(entry.path)

    def _settle(self, entry: JournalEntry, walked: CompareResult) -> None:
        """Strike it out; what could not be listed becomes a gap."""
        with self._store.transaction():
            for path, detail in walked.unlisted:
                missed = MissedEvents(entry.root, Cause.UNLISTED, detail, path)
                self._store.gaps.record(missed, entry.announced, None)
            self._store.journal.remove([entry])
