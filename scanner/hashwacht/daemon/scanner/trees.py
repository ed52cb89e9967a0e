"""Whole directories that came in at once: moved here, or made and filled before anybody looked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from hashwacht.core.watch_events import Cause, Lane, Missed
from hashwacht.daemon.scanner.comparer import Comparison, Walked
from hashwacht.daemon.scanner.roots import WatchedRoot
from hashwacht.daemon.scanner.runtime import Current, Parts
from hashwacht.daemon.scanner.threads import Gate, patiently
from hashwacht.scan.freshness import wanted
from hashwacht.storage.journal import Entry
from hashwacht.storage.store import Store

IDLE = 1.0
"""Seconds after which it is looked again without being told to."""

BRIEF = 2.0
"""Seconds of walking after which an upload is none any more, but a bulk: others are waiting."""


class _TooLarge(Exception):
    """A directory takes too long for an upload: no error, but a matter of whose turn it is."""


class Trees:
    """Announces the files of announced directories of one lane.  ``run`` in a thread of its own.

    A directory of the upload lane that takes long is put into the other lane, with the files that
    are found in it from then on: so nobody waits for somebody who moves in a whole archive.
    """

    def __init__(
        self,
        store: Store,
        current: Current,
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
        self.bell = threading.Event()
        self._store, self._current, self._stop = store, current, stop
        self._lane, self._found, self._clock, self._brief = lane, found, clock, brief
        self._gate = Gate(store, lane, stop, uploads)

    def run(self) -> None:
        """Go on until the stop."""
        while not self._stop.is_set():
            self.bell.clear()
            entries = patiently(
                lambda: self._store.journal.trees(self._lane, self._clock(), 1), self._stop
            )
            for entry in entries:
                with self._current.using() as parts:
                    self._walk(entry, parts)
            if not entries:
                self.bell.wait(IDLE)

    def _walk(self, entry: Entry, parts: Parts) -> None:
        """Announce what is below a directory; strike it out when all of it is in the journal."""
        root = parts.roots.of(entry.path)
        walked = Walked()
        if root is not None:
            try:
                walked = self._compare(entry, root, parts)
            except _TooLarge:
                patiently(lambda: self._store.journal.defer(entry), self._stop)
                return
            except OSError as error:
                walked.unlisted.append((entry.path, error.strerror or str(error)))
        patiently(lambda: self._settle(entry, walked), self._stop)
        self._found()

    def _compare(self, entry: Entry, root: WatchedRoot, parts: Parts) -> Walked:
        """Walk.  Raises _TooLarge, OSError."""
        until = time.monotonic() + self._brief

        def step() -> None:
            nonlocal until
            self._found()
            before = time.monotonic()
            if self._lane is Lane.UPLOAD and before > until:
                raise _TooLarge
            self._gate.step(parts.settings.backlog)
            until += time.monotonic() - before

        comparison = Comparison(
            self._store,
            root,
            wanted(self._store, parts.pipeline, self._clock()),
            lane=self._lane,
            clock=self._clock,
            stop=self._stop,
            step=step,
        )
        return comparison.walk(entry.path)

    def _settle(self, entry: Entry, walked: Walked) -> None:
        """Strike it out; what could not be listed becomes a gap."""
        with self._store.transaction():
            for path, detail in walked.unlisted:
                missed = Missed(entry.root, Cause.UNLISTED, detail, path)
                self._store.gaps.open(missed, entry.announced, None)
            self._store.journal.settle([entry])
