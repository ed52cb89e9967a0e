"""The threads between the dispatcher and the clerks: they wait for workers, and for matchers."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import defaultdict
from queue import Empty, SimpleQueue

from hashwacht.core.errors import HashwachtError
from hashwacht.daemon.scanner.dispatcher import Dispatcher
from hashwacht.daemon.scanner.file_reader import (
    ContentRead,
    FileReader,
    ReadContext,
    ReadOutcome,
    ReadPostponed,
    ReadTask,
)
from hashwacht.daemon.scanner.result_recorder import AGAIN, BatchRecorder
from hashwacht.daemon.scanner.runtime import Runtime
from hashwacht.daemon.scanner.threads import SupervisedThreads

_log = logging.getLogger(__name__)

READERS = 32
"""They mostly wait: for a worker, and for the tick of the kernel's clock after a write."""

RECORDERS = 4
"""A service that is slow holds up one of them."""

BATCH = 200
"""Looks that are recorded together."""

LINGER = 0.05
"""Seconds to wait for more while many are on their way: larger batches cost less."""

MANY = 32
"""So many on their way are many."""

Looked = tuple[ReadOutcome, Runtime]


class ReaderThreads:
    """Readers and clerks, and the queue between them, bounded by what is handed out."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        reader: FileReader,
        clerk: BatchRecorder,
        stop: threading.Event,
    ) -> None:
        """Nothing runs yet."""
        self._dispatcher, self._reader, self._clerk = dispatcher, reader, clerk
        self._stop = stop
        self._looks: SimpleQueue[Looked | None] = SimpleQueue()
        self._collecting = threading.Lock()

    def start(self, threads: SupervisedThreads) -> None:
        """Start all threads."""
        for number in range(READERS):
            threads.start(f"reader-{number}", self.read)
        for number in range(RECORDERS):
            threads.start(f"clerk-{number}", self.record)

    def read(self) -> None:
        """Look at what is handed out, until the end."""
        tasks = self._dispatcher.tasks
        while (work := tasks.get()) is not None:
            if self._stop.is_set():
                continue
            task, means, parts = work
            look = self._look(task, means)
            self._dispatcher.read_finished(look)
            self._looks.put((look, parts))
        tasks.put(None)

    def _look(self, task: ReadTask, means: ReadContext) -> ReadOutcome:
        try:
            return self._reader.read(task, means)
        except Exception:  # noqa: BLE001  # the application's code; the upload is checked all the same
            _log.exception("a file could not be looked at")
            return ReadPostponed(task, time.time() + AGAIN)

    def record(self) -> None:
        """Record what was looked at, until the end."""
        while batch := self._collect():
            together: defaultdict[Runtime, list[ReadOutcome]] = defaultdict(list)
            for look, parts in batch:
                together[parts].append(look)
            for parts, looks in together.items():
                self._record(looks, parts)

    def _record(self, looks: list[ReadOutcome], parts: Runtime) -> None:
        """Record some; if that fails they are still in the journal, and looked at once more."""
        try:
            self._clerk.record(looks, parts)
        except HashwachtError as error:
            if not error.retryable:
                raise
            _log.warning("%s; tried again", error.message)
        except Exception:  # noqa: BLE001  # the application's code; the upload is checked all the same
            _log.exception("what was found could not be recorded")
            self._clerk.postpone(looks, parts)
        finally:
            self._dispatcher.done(looks, parts)

    def _collect(self) -> list[Looked]:
        """Wait for one, and take what else is there; nothing at the end."""
        with self._collecting:
            first = self._looks.get()
            batch = [] if first is None else [first]
            until = time.monotonic() + (LINGER if self._dispatcher.in_flight > MANY else 0.0)
            while first is not None and len(batch) < BATCH:
                try:
                    looked = self._looks.get(timeout=max(0.0, until - time.monotonic()))
                except Empty:
                    break
                if looked is None:
                    first = None
                else:
                    batch.append(looked)
            if first is None:
                self._looks.put(None)
        return batch

    def end(self) -> None:
        """Say that nothing more will come."""
        self._dispatcher.tasks.put(None)
        self._looks.put(None)

    def drop(self) -> None:
        """Close what was never recorded; the journal has it still."""
        while not self._looks.empty():
            looked = self._looks.get()
            if looked is not None and isinstance(looked[0], ContentRead):
                os.close(looked[0].fd)
