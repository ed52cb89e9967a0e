"""The reading side of a scan: threads that take open files through the fingerprinter.

The threads only wait: the work is done in the worker processes behind the fingerprinter.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable

from hashwacht.core.errors import WorkerError
from hashwacht.platform.safe_open import Changed
from hashwacht.pipeline import Pipeline
from hashwacht.scan.feed import Task
from hashwacht.scan.messages import Message, Taken, Unread
from hashwacht.scan.taken import taken
from hashwacht.core.types import Reason


class Reader:
    """Takes tasks until the end; one thread each."""

    def __init__(
        self,
        tasks: queue.Queue[Task | None],
        pipeline: Pipeline,
        put: Callable[[Message], None],
        stop: threading.Event,
    ) -> None:
        """Read from *tasks*, tell the recorder by *put*, read no more once *stop* is set."""
        self._tasks, self._pipeline, self._put, self._stop = tasks, pipeline, put, stop

    def run(self) -> None:
        """Read until None comes; it is left in the queue for the others."""
        while (task := self._tasks.get()) is not None:
            if self._stop.is_set():
                os.close(task.fd)
                continue
            try:
                self._put(self._read(task))
            except WorkerError:
                if not self._stop.is_set():
                    raise
        self._tasks.put(None)

    def _read(self, task: Task) -> Message:
        """Read one file, twice if it changes meanwhile; close it."""
        began = time.perf_counter()
        try:
            at, fingerprint = taken(task.fd, self._pipeline.fingerprint)
        except OSError as error:
            return Unread(task.file, Reason.UNREADABLE, error.strerror or str(error))
        except Changed as error:
            return Unread(task.file, Reason.CHANGED, error.message)
        finally:
            os.close(task.fd)
        return Taken(task.file, fingerprint, at, time.perf_counter() - began)
