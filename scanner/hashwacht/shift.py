"""The threads in which one process has contents checked, and the workplace that they share."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from hashwacht.errors import HashwachtError
from hashwacht.types import Reason
from hashwacht.workplace import Checked, Workplace, undetermined

_log = logging.getLogger(__name__)

Opener = Callable[[], Workplace]

T = TypeVar("T")


class Shift:
    """Some threads, a bounded queue, one workplace, which is opened by the first content."""

    def __init__(self, opener: Opener, threads: int, waiting: int) -> None:
        """Have *threads* at work, and up to *waiting* tasks waiting for one of them."""
        self._opener = opener
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="hashwacht")
        self._room = threading.BoundedSemaphore(threads + waiting)
        self._lock = threading.Lock()
        self._workplace: Workplace | None = None

    def submit(self, fd: int, work: Callable[[Workplace], Checked]) -> Future[Checked]:
        """Have a thread do *work*, then close *fd*; a queue that is full is an answer as well."""
        future = self._begin(fd, lambda: self._answer(work))
        if future is None:
            future = Future()
            future.set_result(undetermined(Reason.OVER_LIMIT, "too many contents are waiting"))
        return future

    def follow(self, fd: int, work: Callable[[Workplace], None]) -> Future[None] | None:
        """Have a thread do *work* that may as well be left undone, then close *fd*.

        None: nobody has the time.
        """
        return self._begin(fd, lambda: self._try(work))

    def _begin(self, fd: int, task: Callable[[], T]) -> Future[T] | None:
        if not self._room.acquire(blocking=False):
            os.close(fd)
            return None

        def done(_: object = None) -> None:
            os.close(fd)
            self._room.release()

        def run() -> T:
            try:
                return task()
            finally:
                done()

        try:
            future = self._pool.submit(run)
        except BaseException:
            done()
            raise
        future.add_done_callback(lambda ended: done() if ended.cancelled() else None)
        return future

    def _answer(self, work: Callable[[Workplace], Checked]) -> Checked:
        try:
            return work(self._place())
        except HashwachtError as error:
            return undetermined(Reason.UNANSWERED, f"{error.message} {error.advice}".strip())

    def _try(self, work: Callable[[Workplace], None]) -> None:
        try:
            work(self._place())
        except (HashwachtError, OSError) as error:
            _log.debug("cannot read ahead: %s", error)  # whoever answers later meets it again

    def _place(self) -> Workplace:
        with self._lock:
            if self._workplace is None:
                self._workplace = self._opener()
            return self._workplace

    def close(self) -> None:
        """Let what has begun end, take back the rest."""
        self._pool.shutdown(cancel_futures=True)
        if self._workplace is not None:
            self._workplace.close()
