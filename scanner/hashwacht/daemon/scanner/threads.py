"""The scanner's threads: who fails begins anew, unless what he had in hand would be lost.

Waiting out what passes: a full disk, another process that holds the state.

Stepping aside: what is in no hurry waits while uploads are on their way.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from hashwacht.core.errors import HashwachtError, Interrupted, StorageError
from hashwacht.core.watch_events import Lane
from hashwacht.platform.backoff import Backoff
from hashwacht.storage.store import Store

T = TypeVar("T")

_log = logging.getLogger(__name__)

RETRY = Backoff(0.1, 10.0)
"""Between two attempts of an operation that failed for now."""


def retry_until(
    action: Callable[[], T], stop: threading.Event, alive: Callable[[], None] = lambda: None
) -> T:
    """Do *action* until it succeeds; what cannot be retried is raised.

    *alive* is called before each attempt: who waits out a full disk does not hang.
    Raises Interrupted if *stop* is set meanwhile.  *action* is repeated as a whole, so it is one
    transaction or changes nothing when it is done twice.
    """
    failures = 0
    while True:
        alive()
        try:
            return action()
        except HashwachtError as error:
            if not error.retryable or isinstance(error, Interrupted):
                raise
            failures += 1
            if failures == 1:
                _log.warning("%s; tried again until it works", error.message)
        if stop.wait(RETRY.delay(failures)):
            raise Interrupted("the daemon was stopped")


YIELD = 0.05
"""Seconds that a step waits for uploads at the longest: it comes forward whatever happens."""

LOOK = 0.1
"""Seconds between two looks at how much waits in the journal."""


class Backpressure:
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
            self.yield_to_uploads()
        if (now := time.monotonic()) < self._due:
            return
        while self._store.journal.count_lane(self._lane, backlog) >= backlog:
            if self._stop.wait(LOOK):
                return
        self._due = now + LOOK

    def yield_to_uploads(self) -> None:
        """Wait until no upload is on its way, but never for long."""
        until = time.monotonic() + YIELD
        while self._uploads() and time.monotonic() < until and not self._stop.is_set():
            time.sleep(YIELD / 10)


RESTART = Backoff(0.5, 60.0)
"""Before a failed thread is restarted; one that ran for longer is healthy."""


class SupervisedThreads:
    """Threads that run until *stop*."""

    def __init__(self, stop: threading.Event) -> None:
        """Have *stop*, which is set too if one of them fails for good."""
        self._stop = stop
        self._all: list[threading.Thread] = []
        self.failure: BaseException | None = None

    def start(self, name: str, run: Callable[[], None], *, vital: bool = False) -> None:
        """Run in a thread of its own; if a *vital* one fails, all end, and nothing is lost.

        The others begin anew: what they were at is in the journal, or found again.
        """
        work = partial(self._guarded, name, run, vital=vital)
        thread = threading.Thread(target=work, name=name, daemon=True)
        self._all.append(thread)
        thread.start()

    def join(self, seconds: float) -> bool:
        """Wait for all of them; False if some have not ended by then."""
        until = time.monotonic() + seconds
        for thread in self._all:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._all)

    def _guarded(self, name: str, run: Callable[[], None], *, vital: bool) -> None:
        failures = 0
        while True:
            began = time.monotonic()
            try:
                run()
            except Interrupted:
                return
            except Exception as error:  # noqa: BLE001  # law 2: unanswered is undetermined
                if vital or (isinstance(error, StorageError) and not error.retryable):
                    self._fail(error)
                    return
                self._tell(name, error)
            except BaseException as error:  # noqa: BLE001  # raised again by the scanner
                self._fail(error)
                return
            else:
                return
            failures = 1 if time.monotonic() - began > RESTART.longest else failures + 1
            if self._stop.wait(RESTART.delay(failures)):
                return

    @staticmethod
    def _tell(name: str, error: Exception) -> None:
        if isinstance(error, HashwachtError) and error.retryable:
            _log.warning("%s: %s; begun anew", name, error.message)
        else:
            _log.error("%s failed and is begun anew", name, exc_info=error)

    def _fail(self, error: BaseException) -> None:
        if not self._stop.is_set():  # else it stumbled over what was closed under it
            self.failure = error
        self._stop.set()
