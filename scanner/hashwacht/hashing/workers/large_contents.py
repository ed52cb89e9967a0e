"""Large contents: digested beside all others, so that none of them waits.

A file of any size costs its owner nothing (truncate(2)), and digesting it takes up to any time.  So
large contents have workers of their own, a few at a time, at idle priority: the kernel shares the
processor time that all others leave between them.  The time for each of them is limited.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress

import psutil

from hashwacht.core.types import Fingerprint
from hashwacht.hashing.workers.outcomes import crash_failure, fingerprint_from_reply
from hashwacht.hashing.workers.protocol import Reply, WorkerKind
from hashwacht.hashing.workers.scheduler import FairScheduler, SchedulerLane
from hashwacht.hashing.workers.worker_client import (
    ReadTimeExceeded,
    WorkerClient,
    WorkerDied,
    WorkerTimeout,
)
from hashwacht.hashing.workers.worker_registry import WorkerRegistry
from hashwacht.ipc.codec import ProtocolError
from hashwacht.platform.process import lower_priority

LARGE_SIZE = 256 << 20
"""Bytes above which a content is large: digesting it takes a second or more."""

MAX_LARGE = 8
"""Large contents that are digested at a time."""

DigestRequest = Callable[[WorkerClient, int], tuple[Reply, int | None]]
"""Returns the reply of a worker about one open file and the copy to decode, if any."""


class LargeContents:
    """Digests large contents.  Thread-safe; further ones wait until one is done."""

    def __init__(
        self, registry: WorkerRegistry, request: DigestRequest, max_read_time: float
    ) -> None:
        """*max_read_time* (seconds) is only for the error; *request* raises ReadTimeExceeded."""
        self._registry, self._request, self._max_read_time = registry, request, max_read_time
        self._scheduler: FairScheduler[int, Fingerprint] = FairScheduler(MAX_LARGE)

    def digest(
        self, fd: int, lane: SchedulerLane, client: str = ""
    ) -> tuple[Fingerprint, int | None]:
        """Return the digests of *fd* and a copy to decode, which the caller must close.

        Raises OSError (EFBIG: it takes longer than the limit), WorkerError.
        """
        with (
            self._scheduler.slot(lane, client),
            self._registry.checkout(WorkerKind.DIGESTS) as worker,
        ):
            with suppress(psutil.Error):
                lower_priority(worker.pid)
            try:
                reply, copy = self._request(worker, fd)
            except ReadTimeExceeded as error:
                self._kill(worker, error)
                detail = f"reading it takes longer than max_read_time ({self._max_read_time:g} s)"
                raise OSError(errno.EFBIG, detail) from error
            except (WorkerDied, WorkerTimeout, ProtocolError) as error:
                status = self._kill(worker, error)
                reply, copy = crash_failure(error, status), None
            else:
                self._registry.kill(worker)  # its priority cannot be raised again
        return fingerprint_from_reply(reply), copy

    def _kill(self, worker: WorkerClient, cause: Exception) -> int | None:
        status = self._registry.kill(worker)
        self._registry.check_open(cause)
        return status
