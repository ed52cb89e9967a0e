"""The threads in which one process has contents checked, and the workplace that they share."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from hashwacht.core.errors import HashwachtError
from hashwacht.core.ports import Ahead
from hashwacht.core.types import Reason
from hashwacht.uploads.backend import Checked, Workplace, WorksAhead, undetermined

Opener = Callable[[], Workplace]


class Shift:
    """Some threads, a bounded queue, one workplace, which is opened by the first content."""

    def __init__(self, opener: Opener, threads: int, waiting: int) -> None:
        """Have *threads* at work, and up to *waiting* tasks waiting for one of them."""
        self._opener = opener
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="hashwacht")
        self._room = threading.BoundedSemaphore(threads + waiting)
        self._lock = threading.Lock()
        self._workplace: Workplace | None = None
        self._warm: Workplace | None = None

    def ahead(self) -> Ahead | None:
        """Begin with a content that is still coming in; None if it must be spooled as a whole.

        Never waits: what is not warm yet is not asked.
        """
        place = self._warm
        if not isinstance(place, WorksAhead):
            return None
        try:
            return place.read_ahead()
        except HashwachtError:
            return None  # whoever answers meets it again

    def submit(self, fd: int | None, work: Callable[[Workplace], Checked]) -> Future[Checked]:
        """Have a thread do *work*, then close *fd*; a queue that is full is an answer as well."""
        if not self._room.acquire(blocking=False):
            _close(fd)
            full: Future[Checked] = Future()
            full.set_result(undetermined(Reason.OVER_LIMIT, "too many contents are waiting"))
            return full
        try:
            future = self._pool.submit(self._run, fd, work)
        except BaseException:
            self._done(fd)
            raise
        future.add_done_callback(lambda ended: self._done(fd) if ended.cancelled() else None)
        return future

    def _run(self, fd: int | None, work: Callable[[Workplace], Checked]) -> Checked:
        try:
            return self._answer(work)
        finally:
            self._done(fd)

    def _done(self, fd: int | None) -> None:
        _close(fd)
        self._room.release()

    def _answer(self, work: Callable[[Workplace], Checked]) -> Checked:
        try:
            place = self._place()
            checked = work(place)
            self._warm_up(place)
        except HashwachtError as error:
            return undetermined(Reason.UNANSWERED, f"{error.message} {error.advice}".strip())
        return checked

    def _warm_up(self, place: Workplace) -> None:
        """See to it that to begin ahead needs no waiting any more: here we may wait."""
        if self._warm is None:
            if isinstance(place, WorksAhead):
                place.read_ahead()
            self._warm = place

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


def _close(fd: int | None) -> None:
    if fd is not None:
        os.close(fd)
