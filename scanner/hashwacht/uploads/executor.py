"""The threads in which one process has contents checked, and the workplace that they share."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from hashwacht.core.errors import HashwachtError
from hashwacht.core.ports import StreamHasher
from hashwacht.core.types import Reason
from hashwacht.uploads.backend import (
    CheckBackend,
    CheckResult,
    StreamingBackend,
    undetermined_result,
)

BackendFactory = Callable[[], CheckBackend]


class CheckExecutor:
    """Some threads, a bounded queue, one workplace, which is opened by the first content."""

    def __init__(self, opener: BackendFactory, threads: int, max_pending: int) -> None:
        """Have *threads* at work, and up to *waiting* tasks waiting for one of them."""
        self._opener = opener
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="hashwacht")
        self._room = threading.BoundedSemaphore(threads + max_pending)
        self._lock = threading.Lock()
        self._workplace: CheckBackend | None = None
        self._warm: CheckBackend | None = None

    def open_stream(self) -> StreamHasher | None:
        """Begin with a content that is still coming in; None if it must be spooled as a whole.

        Never waits: what is not warm yet is not asked.
        """
        place = self._warm
        if not isinstance(place, StreamingBackend):
            return None
        try:
            return place.open_stream()
        except HashwachtError:
            return None  # whoever answers meets it again

    def submit(
        self, fd: int | None, work: Callable[[CheckBackend], CheckResult]
    ) -> Future[CheckResult]:
        """Have a thread do *work*, then close *fd*; a queue that is full is an answer as well."""
        if not self._room.acquire(blocking=False):
            _close(fd)
            full: Future[CheckResult] = Future()
            full.set_result(undetermined_result(Reason.OVER_LIMIT, "too many contents are waiting"))
            return full
        try:
            future = self._pool.submit(self._run, fd, work)
        except BaseException:
            self._done(fd)
            raise
        future.add_done_callback(lambda ended: self._done(fd) if ended.cancelled() else None)
        return future

    def _run(self, fd: int | None, work: Callable[[CheckBackend], CheckResult]) -> CheckResult:
        try:
            return self._answer(work)
        finally:
            self._done(fd)

    def _done(self, fd: int | None) -> None:
        _close(fd)
        self._room.release()

    def _answer(self, work: Callable[[CheckBackend], CheckResult]) -> CheckResult:
        try:
            place = self._place()
            checked = work(place)
            self._warm_up(place)
        except HashwachtError as error:
            return undetermined_result(Reason.UNANSWERED, f"{error.message} {error.advice}".strip())
        return checked

    def _warm_up(self, place: CheckBackend) -> None:
        """See to it that to begin ahead needs no waiting any more: here we may wait."""
        if self._warm is None:
            if isinstance(place, StreamingBackend):
                place.open_stream()
            self._warm = place

    def _place(self) -> CheckBackend:
        with self._lock:
            if self._workplace is None:
                self._workplace = self._opener()
            return self._workplace

    def close(self) -> None:
        """Let what has begun end, take back the rest."""
        self._pool.shutdown(cancel_futures=True)
        if self._workplace is not None:
            self._workplace.close()


def _close(fd: int | None) -> None:
    if fd is not None:
        os.close(fd)
