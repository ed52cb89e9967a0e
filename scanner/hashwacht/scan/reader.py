"""The reading side of a scan: threads that take open files through the fingerprinter.

The threads only wait: the work is done in the worker processes behind the fingerprinter.

Fingerprinting a file that others write to, and keeping only what proves something later.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from hashwacht.core.errors import WorkerError
from hashwacht.core.types import FileId, Fingerprint, Reason
from hashwacht.pipeline import Pipeline
from hashwacht.platform.safe_open import FileChanged, read_consistent, timestamps_settled
from hashwacht.scan.messages import FileRead, FileUnreadable, ScanMessage
from hashwacht.scan.walker import ReadTask

UNSETTLED_CTIME = -1
"""Kept in place of a change time that is too fresh to prove anything: equal to none."""


def read_stable(fd: int, fingerprint: Callable[[int], Fingerprint]) -> tuple[FileId, Fingerprint]:
    """Read an open file, twice if it changes meanwhile; say what it was at that moment.

    An equal FileId seen later proves that it was not written to since.  Raises OSError, Changed.
    """
    began = 0

    def read(fd: int) -> Fingerprint:
        nonlocal began
        began = time.time_ns()
        return fingerprint(fd)

    at, found = read_consistent(fd, read)
    return (at if timestamps_settled(at, began) else replace(at, ctime_ns=UNSETTLED_CTIME)), found


class ScanReader:
    """Takes tasks until the end; one thread each."""

    def __init__(
        self,
        tasks: queue.Queue[ReadTask | None],
        pipeline: Pipeline,
        put: Callable[[ScanMessage], None],
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

    def _read(self, task: ReadTask) -> ScanMessage:
        """Read one file, twice if it changes meanwhile; close it."""
        began = time.perf_counter()
        try:
            at, fingerprint = read_stable(task.fd, self._pipeline.fingerprint)
        except OSError as error:
            return FileUnreadable(task.file, Reason.UNREADABLE, error.strerror or str(error))
        except FileChanged as error:
            return FileUnreadable(task.file, Reason.CHANGED, error.message)
        finally:
            os.close(task.fd)
        return FileRead(task.file, fingerprint, at, time.perf_counter() - began)
