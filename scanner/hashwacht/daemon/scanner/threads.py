"""Supervised threads, waiting for a storage that cannot be written, and yielding to uploads."""

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
"""Between two attempts of an operation that fails for now."""

RESTART = Backoff(0.5, 60.0)
"""Before a failed thread is restarted; a thread that ran longer is healthy."""

YIELD_SECONDS = 0.05
"""The longest that one step waits for uploads: background work always makes progress."""

BACKLOG_INTERVAL = 0.1
"""Seconds between two queries for the backlog of the journal."""


def retry_until(
    action: Callable[[], T], stop: threading.Event, on_attempt: Callable[[], None] = lambda: None
) -> T:
    """Return the result of *action*, which is repeated while it fails with a retryable error.

    *action* is one transaction, or changes nothing when it is repeated.  *on_attempt* is called
    before each attempt: waiting for a full disk is not a hang.  Raises Interrupted if *stop* is set
    in between, and any error that is not retryable.
    """
    failures = 0
    while True:
        on_attempt()
        try:
            return action()
        except HashwachtError as error:
            if not error.retryable or isinstance(error, Interrupted):
                raise
            failures += 1
            if failures == 1:
                _log.warning("%s; trying again until it works", error.message)
        if stop.wait(RETRY.delay(failures)):
            raise Interrupted("the daemon was stopped")


class Backpressure:
    """Slows background work down, between two steps of it.  Used by one thread."""

    def __init__(
        self, store: Store, lane: Lane, stop: threading.Event, has_uploads: Callable[[], bool]
    ) -> None:
        self._store, self._lane, self._stop, self._has_uploads = store, lane, stop, has_uploads
        self._due = 0.0

    def step(self, max_backlog: int) -> None:
        """Yield to uploads, and wait while *max_backlog* entries of the lane are not done."""
        if self._lane is not Lane.UPLOAD:
            self.yield_to_uploads()
        if (now := time.monotonic()) < self._due:
            return
        while self._store.journal.count_lane(self._lane, max_backlog) >= max_backlog:
            if self._stop.wait(BACKLOG_INTERVAL):
                return
        self._due = now + BACKLOG_INTERVAL

    def yield_to_uploads(self) -> None:
        """Wait a moment at most while uploads are in progress."""
        until = time.monotonic() + YIELD_SECONDS
        while self._has_uploads() and time.monotonic() < until and not self._stop.is_set():
            time.sleep(YIELD_SECONDS / 10)


class SupervisedThreads:
    """Threads that run until *stop*; a failed one is restarted unless work would be lost."""

    def __init__(self, stop: threading.Event) -> None:
        """Set *stop* if a thread fails for good; ``failure`` holds its error then."""
        self._stop = stop
        self._threads: list[threading.Thread] = []
        self.failure: BaseException | None = None

    def start(self, name: str, run: Callable[[], None], *, vital: bool = False) -> None:
        """Run a function in a thread; if a *vital* one fails, all end.

        The others are restarted: their work is in the journal, or is found again.
        """
        work = partial(self._supervise, name, run, vital=vital)
        thread = threading.Thread(target=work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def join(self, seconds: float) -> bool:
        """Return whether all threads have ended within so many seconds."""
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _supervise(self, name: str, run: Callable[[], None], *, vital: bool) -> None:
        failures = 0
        while True:
            began = time.monotonic()
            try:
                run()
            except Interrupted:
                return
            except Exception as error:  # noqa: BLE001  # restarted, or raised by the scanner
                if vital or (isinstance(error, StorageError) and not error.retryable):
                    self._fail(error)
                    return
                if isinstance(error, HashwachtError) and error.retryable:
                    _log.warning("%s: %s; restarting it", name, error.message)
                else:
                    _log.error("%s failed, restarting it", name, exc_info=error)
            except BaseException as error:  # noqa: BLE001  # raised again by the scanner
                self._fail(error)
                return
            else:
                return
            failures = 1 if time.monotonic() - began > RESTART.longest else failures + 1
            if self._stop.wait(RESTART.delay(failures)):
                return

    def _fail(self, error: BaseException) -> None:
        if not self._stop.is_set():  # otherwise what was closed at the stop caused it
            self.failure = error
        self._stop.set()
