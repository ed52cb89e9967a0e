"""Stepping aside: what is in no hurry waits while uploads are on their way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from hashwacht.core.watch_events import Lane
from hashwacht.storage.store import Store

POLITE = 0.05
"""Seconds that a step waits for uploads at the longest: it comes forward whatever happens."""

LOOK = 0.1
"""Seconds between two looks at how much waits in the journal."""


class Gate:
    """Holds up a walk between two steps.  Used by one thread."""

    def __init__(
        self, store: Store, lane: Lane, stop: threading.Event, uploads: Callable[[], bool]
    ) -> None:
        """Take *uploads*, which says if some are on their way."""
        self._store, self._lane, self._stop, self._uploads = store, lane, stop, uploads
        self._due = 0.0

    def step(self, backlog: int) -> None:
        """Let uploads go first, and wait while a *backlog* of what was found is still to do."""
        if self._lane is not Lane.UPLOAD:
            self.polite()
        if (now := time.monotonic()) < self._due:
            return
        while self._store.journal.depth_of(self._lane, backlog) >= backlog:
            if self._stop.wait(LOOK):
                return
        self._due = now + LOOK

    def polite(self) -> None:
        """Wait until no upload is on its way, but never for long."""
        until = time.monotonic() + POLITE
        while self._uploads() and time.monotonic() < until and not self._stop.is_set():
            time.sleep(POLITE / 10)
