"""The threads that read files and record the results in batches, and the queue between them."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import defaultdict
from queue import Empty, SimpleQueue

from hashwacht.core.errors import HashwachtError
from hashwacht.daemon.scanner.batch_recorder import RETRY_DELAY, BatchRecorder
from hashwacht.daemon.scanner.dispatcher import (
    READERS,
    Dispatcher,
    FilePostponed,
    JournaledFile,
    ReadContext,
    ReadResult,
)
from hashwacht.daemon.scanner.readers import FileReader
from hashwacht.daemon.scanner.runtime import Runtime
from hashwacht.daemon.scanner.threads import SupervisedThreads
from hashwacht.engine.read import FileContent

_log = logging.getLogger(__name__)

RECORDERS = 4
"""Recorder threads.  A slow service occupies one of them."""

BATCH = 200
"""Results that are recorded together."""

LINGER = 0.05
"""Seconds to wait for more results while many files are in progress: large batches are cheaper."""

MANY = 32
"""The number of files in progress from which on it pays to wait."""

_Finished = tuple[ReadResult, Runtime]


class ReaderThreads:
    """Reader and recorder threads.  The queue between them is bounded by the dispatcher."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        reader: FileReader,
        recorder: BatchRecorder,
        stop: threading.Event,
    ) -> None:
        self._dispatcher, self._reader = dispatcher, reader
        self._recorder, self._stop = recorder, stop
        self._finished: SimpleQueue[_Finished | None] = SimpleQueue()
        self._collecting = threading.Lock()

    def start(self, threads: SupervisedThreads) -> None:
        """Start all threads."""
        for number in range(READERS):
            threads.start(f"reader-{number}", self.read)
        for number in range(RECORDERS):
            threads.start(f"recorder-{number}", self.record)

    def read(self) -> None:
        """Read what the dispatcher hands out, until the end."""
        tasks = self._dispatcher.tasks
        while (task := tasks.get()) is not None:
            if self._stop.is_set():
                continue
            result = self._read(task.file, task.context)
            tasks.task_done(task)
            self._dispatcher.read_finished(result)
            self._finished.put((result, task.runtime))

    def _read(self, file: JournaledFile, context: ReadContext) -> ReadResult:
        try:
            return self._reader.read(file, context, self._dispatcher.set_large)
        except Exception:  # noqa: BLE001  # a defect must not end the thread: the file is retried
            _log.exception("a file cannot be read, it is tried again")
            return FilePostponed(file, time.time() + RETRY_DELAY)

    def record(self) -> None:
        """Record results in batches, until the end."""
        while batch := self._collect():
            by_runtime: defaultdict[Runtime, list[ReadResult]] = defaultdict(list)
            for result, runtime in batch:
                by_runtime[runtime].append(result)
            for runtime, results in by_runtime.items():
                self._record(results, runtime)

    def _record(self, results: list[ReadResult], runtime: Runtime) -> None:
        """Record a batch; if that fails, the journal still has it and it is read again."""
        try:
            self._recorder.record(results, runtime)
        except HashwachtError as error:
            if not error.retryable:
                raise
            _log.warning("%s; trying again", error.message)
        except Exception:  # noqa: BLE001  # a defect must not end the thread: the files are retried
            _log.exception("results cannot be recorded, the files are read again")
            self._recorder.postpone(results, runtime)
        finally:
            self._dispatcher.done(results, runtime)

    def _collect(self) -> list[_Finished]:
        """Wait for a result and return it with those that are there; nothing at the end."""
        with self._collecting:
            first = self._finished.get()
            batch = [] if first is None else [first]
            until = time.monotonic() + (LINGER if self._dispatcher.in_flight > MANY else 0.0)
            while first is not None and len(batch) < BATCH:
                try:
                    finished = self._finished.get(timeout=max(0.0, until - time.monotonic()))
                except Empty:
                    break
                if finished is None:
                    first = None
                else:
                    batch.append(finished)
            if first is None:
                self._finished.put(None)
        return batch

    def end(self) -> None:
        """Announce that no further work will come."""
        self._dispatcher.tasks.end()
        self._finished.put(None)

    def drop(self) -> None:
        """Close the descriptors of results that were not recorded; the journal still has them."""
        while not self._finished.empty():
            finished = self._finished.get()
            if finished is not None and isinstance(finished[0], FileContent):
                assert finished[0].fd is not None
                os.close(finished[0].fd)
