"""The worker pool: a fingerprinter in which a content can harm only the worker that decodes it.

The main path is :meth:`WorkerPool.fingerprint`.  Digests and picture hashes come from different
workers.  Whatever a content does to the worker that decodes it, its digests are still matched,
and the missing signals are recorded as skipped, which makes the content undetermined.

No existing pool fits: multiprocessing's and ProcessPoolExecutor lose half the queue with one dead
worker (measured), pebble and loky cannot pass an open descriptor to a worker that may not open
sockets, and all of them unpickle what a worker sends.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Self

from hashwacht.core.ports import CrashLog, UploadTurn
from hashwacht.core.signals import DIGESTS
from hashwacht.core.types import Fingerprint, Reason, Skip
from hashwacht.hashing import Plan
from hashwacht.hashing.workers.forkserver.forkserver_protocol import ForkServerConfig
from hashwacht.hashing.workers.large_contents import LARGE_SIZE, MAX_LARGE, LargeContents
from hashwacht.hashing.workers.outcomes import (
    BLOCKED_DETAIL,
    CRASH_REASONS,
    MemoryCrashLog,
    combine,
    decoder_id,
    fingerprint_from_reply,
    picture_failure,
    planned_signal_types,
)
from hashwacht.hashing.workers.protocol import (
    MAX_BATCH,
    PictureResult,
    Reply,
    TaskFailure,
    WorkerKind,
)
from hashwacht.hashing.workers.requests import BatchFailed, WorkerRequests
from hashwacht.hashing.workers.sandbox import WorkerLimits
from hashwacht.hashing.workers.scheduler import ClientBusy, FairScheduler, SchedulerLane
from hashwacht.hashing.workers.small_contents import SmallContents
from hashwacht.hashing.workers.tasks import DigestTask, PoolStreamHasher
from hashwacht.hashing.workers.unpacker import ArchiveUnpacker
from hashwacht.hashing.workers.upload_turns import PATIENCE, UploadTurns, slow_jobs
from hashwacht.hashing.workers.worker_registry import WorkerRegistry
from hashwacht.platform.process import SandboxLayers
from hashwacht.platform.safe_open import reopen_read_only

TASK_FACTORY = "hashwacht.hashing.workers.tasks:make_task"
"""Creates the task of a worker, inside the worker."""

MAX_HUNG_WORKERS = 16
"""Killed workers that may hang in the kernel (a dead file server) before no more are started."""

MAX_BATCHED_SIZE = 256 << 10
"""Bytes up to which contents share a request: all of them wait for the slowest one."""

UNBATCHED_AFTER_CRASH = 64
"""Contents that are processed one by one after a content may have crashed a worker."""


_OVERLOADED = TaskFailure(
    Reason.OVERLOADED, "its client has sent more pictures than are decoded in time"
)


class WorkerPool:
    """Processes up to *jobs* contents at a time in worker processes.  Thread-safe.

    Workers start when first needed: for each job one that reads and digests, one that decodes,
    and one that runs operators' programs if the plan names any.  Small contents that wait share a
    request.  If a worker is lost to one of them, each of them is processed alone, so that the
    crash is recorded for the right content.  Create the pool after any fork: a copy in a child
    process refuses to work.
    """

    def __init__(
        self,
        plan: Plan,
        jobs: int,
        *,
        background: bool = False,
        task_factory: str = TASK_FACTORY,
        worker_limits: WorkerLimits | None = None,
        crash_log: CrashLog | None = None,
        require_sandbox: bool = False,
    ) -> None:
        """Start the fork server.  Raises WorkerError, ConfigurationError for an unknown type.

        *background*: lowest processor and I/O priority.  *task_factory*, ``module:callable``,
        creates the WorkerTask that a worker runs.  *crash_log* records contents that crash their
        workers.  *require_sandbox*: refuse workers that lack a layer of the sandbox.
        """
        self._plan = plan
        types = planned_signal_types(plan)
        self._decoding_kinds = (
            (WorkerKind.COMMANDS, WorkerKind.PICTURE) if plan.commands else (WorkerKind.PICTURE,)
        )
        self._crash_log = crash_log or MemoryCrashLog()
        self._crash_log.set_decoder(decoder_id(plan))
        max_workers = len(WorkerKind) * (jobs * 2 + slow_jobs(jobs)) + MAX_LARGE + MAX_HUNG_WORKERS
        max_workers += jobs * plan.archive_limits.max_depth
        limits = worker_limits
        config = ForkServerConfig(
            plan, task_factory, max_workers, background, limits or WorkerLimits()
        )
        self._registry = WorkerRegistry(config, require_sandbox=require_sandbox)
        self._requests = WorkerRequests(self._registry, plan, types)
        self._streaming: tuple[DigestTask | None, tuple[str, ...]] | None = None
        self._scheduler: FairScheduler[int, Fingerprint] = FairScheduler(jobs, MAX_BATCH)
        limit = plan.limits.max_read_time
        self._large = LargeContents(
            self._registry, lambda worker, fd: self._requests.send(worker, [fd], limit)[0], limit
        )
        self.unpacker = ArchiveUnpacker(self._registry, self._crash_log)
        self._small = SmallContents(self._registry, types, jobs)
        self._turns = UploadTurns(self._scheduler, jobs, self._requests.attempt)
        self._unbatched_left = 0

    @property
    def recipe(self) -> tuple[str, ...]:
        """The signal types it attempts, each with its version."""
        return self._registry.server_info()[0]

    @property
    def layers(self) -> SandboxLayers:
        """The sandbox layers around a decoder: why each is not active, "" if it is.

        Raises WorkerError.
        """
        with (
            self._scheduler.slot(SchedulerLane.LOCAL),
            self._registry.checkout(WorkerKind.PICTURE) as worker,
        ):
            return worker.layers

    def fingerprint(self, fd: int, *, upload: UploadTurn | None = None) -> Fingerprint:
        """Read *fd* to its end in a worker; wait for one if all are busy.

        Raises OSError if the file system refuses (ETIMEDOUT: it does not respond; EIO: not even
        the digests could be computed; EFBIG: reading takes longer than the limit), WorkerError if
        no worker can be started or the pool is closed.
        """
        if upload is not None:
            return self._fingerprint_upload(fd, upload)
        lane = SchedulerLane.LOCAL
        if os.fstat(fd).st_size > LARGE_SIZE:
            return self._fingerprint_large(fd)
        if not self._may_batch(fd):
            with self._scheduler.slot(lane):
                return self._fingerprint_one(fd)
        for fingerprint in self._scheduler.run_batched(lane, fd, self._fingerprint_batch):
            return fingerprint
        # The batch failed, and its worker may still move the offset of *fd*.
        reopened = reopen_read_only(fd)
        try:
            with self._scheduler.slot(lane):
                return self._fingerprint_one(reopened)
        finally:
            os.close(reopened)

    def fingerprint_small(self, fds: Sequence[int]) -> list[Fingerprint | None]:
        """Return the fingerprints of small contents that need digests only, None for all others.

        Raises WorkerError as ``fingerprint`` does.
        """
        return self._small.fingerprint(fds)

    def _may_batch(self, fd: int) -> bool:
        if self._unbatched_left:
            self._unbatched_left = max(0, self._unbatched_left - 1)
            return False
        return len(self._decoding_kinds) == 1 and os.fstat(fd).st_size <= MAX_BATCHED_SIZE

    def _fingerprint_one(self, fd: int) -> Fingerprint:
        digests, copy = self._digest(fd)
        if copy is None:
            return digests
        try:
            return self._add_picture_results(digests, copy)
        finally:
            os.close(copy)

    def _fingerprint_large(self, fd: int) -> Fingerprint:
        digests, copy = self._large.digest(fd, SchedulerLane.LOCAL)
        if copy is None:
            return digests
        try:
            with self._scheduler.slot(SchedulerLane.LOCAL):
                return self._add_picture_results(digests, copy)
        finally:
            os.close(copy)

    def _fingerprint_batch(self, fds: Sequence[int]) -> Sequence[Fingerprint]:
        """Return the fingerprints of all contents, or none if any of them fails."""
        if len(fds) == 1:
            return [self._fingerprint_one(fds[0])]
        copies: dict[int, int] = {}
        try:
            return self._run_batch(fds, copies)
        except (BatchFailed, OSError):
            self._unbatched_left = UNBATCHED_AFTER_CRASH
            return []
        finally:
            for copy in copies.values():
                os.close(copy)

    def _run_batch(self, fds: Sequence[int], copies: dict[int, int]) -> list[Fingerprint]:
        """Digest and decode; add to *copies* what the caller must close.  Raises BatchFailed."""
        replies = self._requests.send_batch(WorkerKind.DIGESTS, fds)
        copies.update((at, copy) for at, (_, copy) in enumerate(replies) if copy is not None)
        digests = [reply for reply, _ in replies if isinstance(reply, Fingerprint)]
        if len(digests) < len(replies):
            raise BatchFailed
        results = {at: self._blocked_result(digests[at].key) for at in copies}
        allowed = [at for at, blocked in results.items() if blocked is None]
        pictures = self._requests.send_batch(WorkerKind.PICTURE, [copies[at] for at in allowed])
        for at, (reply, _) in zip(allowed, pictures, strict=True):
            results[at] = self._picture_result(WorkerKind.PICTURE, reply, digests[at].key)
        return [
            combine(digest, [result]) if (result := results.get(at)) else digest
            for at, digest in enumerate(digests)
        ]

    def open_stream(self) -> PoolStreamHasher | None:
        """Return a hasher for a content that is still arriving.  Raises WorkerError.

        None if the plan has an operator's digest, whose code runs in workers only.  The first
        call waits until the fork server is ready.
        """
        if self._streaming is None:
            recipe, digests = self._registry.server_info()
            built_in = {digest.name for digest in DIGESTS}.issuperset(digests)
            self._streaming = DigestTask(self._plan) if built_in else None, recipe
        task, recipe = self._streaming
        return PoolStreamHasher(task, recipe, self._decode_streamed) if task else None

    def _decode_streamed(self, digests: Fingerprint, copy: int, upload: UploadTurn) -> Fingerprint:
        return self._decode_upload(digests, copy, upload, SchedulerLane.LOCAL)

    def _fingerprint_upload(self, fd: int, upload: UploadTurn) -> Fingerprint:
        """Return the fingerprint of an upload; its digests never wait for a decoder."""
        lane = SchedulerLane.UPLOAD
        if os.fstat(fd).st_size > LARGE_SIZE:
            digests, copy = self._large.digest(fd, lane, upload.client)
        else:
            digests, copy = self._digest_upload(fd, lane, upload.client)
        if copy is None:
            return digests
        try:
            return self._decode_upload(digests, copy, upload, lane)
        finally:
            os.close(copy)

    def _digest_upload(
        self, fd: int, lane: SchedulerLane, client: str
    ) -> tuple[Fingerprint, int | None]:
        reply, copy = self._turns.attempt(WorkerKind.DIGESTS, fd, lane, client)
        if isinstance(reply, TaskFailure) and reply.reason is Reason.WORKER_DIED:
            os.lseek(fd, 0, os.SEEK_SET)
            reply, copy = self._turns.attempt(WorkerKind.DIGESTS, fd, lane, client)
        return fingerprint_from_reply(reply), copy

    def _decode_upload(
        self, digests: Fingerprint, copy: int, upload: UploadTurn, lane: SchedulerLane
    ) -> Fingerprint:
        """Add the picture hashes unless the digests decide, or the client is over its share."""
        if upload.decides(digests):
            return replace(digests, recipe=self._digest_recipe)
        results = [
            self._decode_in_turn(kind, copy, digests.key, upload, lane)
            for kind in self._decoding_kinds
        ]
        return combine(digests, results)

    def _decode_in_turn(
        self, kind: WorkerKind, copy: int, key: str, upload: UploadTurn, lane: SchedulerLane
    ) -> PictureResult:
        if kind is WorkerKind.PICTURE and (blocked := self._blocked_result(key)) is not None:
            return blocked
        if not upload.decodes:
            return self._skipped_result(kind, _OVERLOADED)
        try:
            reply, _ = self._turns.attempt(kind, copy, lane, upload.client, PATIENCE)
        except ClientBusy:
            return self._skipped_result(kind, _OVERLOADED)
        return self._picture_result(kind, reply, key)

    @property
    def _digest_recipe(self) -> tuple[str, ...]:
        """The part of the recipe that a content has whose digests decided."""
        recipe, digests = self._registry.server_info()
        return tuple(entry for entry in recipe if entry.partition("/")[0] in digests)

    def _add_picture_results(self, digests: Fingerprint, copy: int) -> Fingerprint:
        results = [self._decode(kind, copy, digests.key) for kind in self._decoding_kinds]
        return combine(digests, results)

    def _digest(self, fd: int) -> tuple[Fingerprint, int | None]:
        """Return the digests and a copy to decode, if any.

        A dead worker may have had another cause than the content, so there is a second attempt.
        """
        reply, copy = self._requests.attempt(WorkerKind.DIGESTS, fd)
        if isinstance(reply, TaskFailure) and reply.reason is Reason.WORKER_DIED:
            os.lseek(fd, 0, os.SEEK_SET)
            reply, copy = self._requests.attempt(WorkerKind.DIGESTS, fd)
        return fingerprint_from_reply(reply), copy

    def _decode(self, worker_kind: WorkerKind, copy: int, key: str) -> PictureResult:
        if worker_kind is WorkerKind.PICTURE and (blocked := self._blocked_result(key)) is not None:
            return blocked
        reply, _ = self._requests.attempt(worker_kind, copy)
        return self._picture_result(worker_kind, reply, key)

    def _blocked_result(self, key: str) -> PictureResult | None:
        if (reason := self._crash_log.block_reason(key)) is None:
            return None
        return self._skipped_result(WorkerKind.PICTURE, TaskFailure(reason, BLOCKED_DETAIL))

    def _skipped_result(self, worker_kind: WorkerKind, failure: TaskFailure) -> PictureResult:
        types = self._requests.decoder(worker_kind).types
        skipped = tuple(Skip(name, failure.reason, failure.detail) for name in types)
        return PictureResult((), skipped, damaged=False)

    def _picture_result(self, worker_kind: WorkerKind, reply: Reply, key: str) -> PictureResult:
        if not isinstance(reply, PictureResult):
            reply = self._skipped_result(worker_kind, picture_failure(reply))
        crashes = {skip.reason for skip in reply.skipped} & CRASH_REASONS
        if worker_kind is WorkerKind.PICTURE and crashes:
            self._unbatched_left = UNBATCHED_AFTER_CRASH
            self._crash_log.record_crash(key, min(crashes))
        return reply

    def close(self) -> None:
        """Kill the workers, whatever they are doing; pending calls raise WorkerError."""
        self._registry.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
