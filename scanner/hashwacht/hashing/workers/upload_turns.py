"""The turns of uploads at the workers: a short one for each, then one among the slow contents.

Nothing known of a content before it is decoded predicts how long that takes: a small file may have
thousands of frames.  So each upload has a short first turn; what takes longer gives its worker up
and begins again in a lane of its own.  However many slow contents there are, a small one waits for
short turns only.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from hashwacht.core.types import Fingerprint
from hashwacht.hashing.workers.protocol import Reply, WorkerKind
from hashwacht.hashing.workers.scheduler import FairScheduler, SchedulerLane

QUICK_SECONDS = 2.0
"""Seconds of the first turn without progress; genuine pictures take less than one."""

MAX_QUICK_SIZE = 8 << 20
"""Bytes up to which an upload has a first turn: reading more may take longer."""

PATIENCE = 6.0
"""Seconds that a picture waits for a worker while its own client keeps the workers busy: less than
the time that a request waits, and more than workers need to start on a busy machine."""

Attempt = Callable[[WorkerKind, int, float | None], tuple[Reply, int | None]]
"""Returns the reply of one worker and the copy that the caller must close.  Raises TurnOver if the
seconds are given and used up."""


def slow_jobs(jobs: int) -> int:
    """Return how many slow contents are served at a time beside *jobs* others."""
    return max(1, jobs // 2)


class TurnOver(Exception):
    """A worker was killed because the content took longer than its turn."""


class UploadTurns:
    """Attempts contents of uploads in turn.  Thread-safe."""

    def __init__(
        self, decoding: FairScheduler[int, Fingerprint], jobs: int, attempt: Attempt
    ) -> None:
        """First turns of decoders are those of *decoding*.

        Beside them *jobs* contents are digested and half as many slow contents served at a time.
        """
        self._decoding, self._attempt = decoding, attempt
        self._digesting: FairScheduler[int, Fingerprint] = FairScheduler(jobs)
        self._slow: FairScheduler[int, Fingerprint] = FairScheduler(slow_jobs(jobs))

    def attempt(
        self,
        worker_kind: WorkerKind,
        fd: int,
        lane: SchedulerLane,
        client: str,
        patience: float | None = None,
    ) -> tuple[Reply, int | None]:
        """Return the reply of one worker, and a copy that the caller must close.

        Raises ClientBusy after *patience* seconds, as :meth:`FairScheduler.slot` does.
        """
        reads = worker_kind is WorkerKind.DIGESTS
        scheduler = self._digesting if reads else self._decoding
        if os.fstat(fd).st_size <= MAX_QUICK_SIZE:
            try:
                with scheduler.slot(lane, client, patience):
                    return self._attempt(worker_kind, fd, QUICK_SECONDS)
            except TurnOver:
                if reads:  # the worker shares the offset
                    os.lseek(fd, 0, os.SEEK_SET)
        with self._slow.slot(SchedulerLane.LOCAL, client):
            return self._attempt(worker_kind, fd, None)
