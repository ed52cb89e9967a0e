"""Threads that serve one connection after another.

A new thread for each connection would cost more than most uploads: it also opens the database.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

Work = Callable[[], None]

IDLE_TIME = 30.0
"""Seconds after which a thread without work ends."""


class UploadThreads:
    """Runs each work at once, in a thread that is idle or in a new one.  Thread-safe.

    They are daemon threads: one that hangs on a dead file system does not keep the process.
    """

    def __init__(self, idle_time: float = IDLE_TIME) -> None:
        self._idle_time = idle_time
        self._works: SimpleQueue[Work | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0  # threads that wait, without those for which a work is in the queue

    def start(self, work: Work) -> None:
        """Begin *work*, which raises nothing.  Raises RuntimeError if no thread can be started."""
        with self._lock:
            if self._idle:
                self._idle -= 1
                self._works.put(work)
                return
        threading.Thread(target=self._run, args=(work,), name="upload", daemon=True).start()

    def close(self) -> None:
        """End all threads that are idle; others end when they are."""
        with self._lock:
            self._idle_time = 0.0
            for _ in range(self._idle):
                self._works.put(None)
            self._idle = 0

    def _run(self, work: Work | None) -> None:
        while work is not None:
            work()
            del work  # it holds what belongs to a connection
            work = self._next()

    def _next(self) -> Work | None:
        with self._lock:
            self._idle += 1
        try:
            return self._works.get(timeout=self._idle_time)
        except Empty:
            pass
        with self._lock:
            try:
                return self._works.get_nowait()  # it came at the last moment
            except Empty:
                self._idle -= 1
                return None
