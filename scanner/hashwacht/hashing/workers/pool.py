"""The worker pool: a Fingerprinter whose contents can hurt nobody but their own worker.

The main path is :meth:`WorkerPool.fingerprint`.  Whatever a content does to the worker that
decodes it, its digests are asked nevertheless: they come from another worker that decodes
nothing, and the signals that are missing are accounted for (Law 2: unanswered is undetermined).

No pool off the shelf would do: multiprocessing's and ProcessPoolExecutor lose half the queue
with one dead worker (measured), pebble and loky cannot hand an open descriptor to a worker that
may not open sockets, and all of them unpickle what a worker sends.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Self

from hashwacht.core.ports import CrashLog
from hashwacht.core.signals import DIGESTS
from hashwacht.core.types import Fingerprint, Reason, Skip
from hashwacht.hashing.plan import Plan
from hashwacht.hashing.workers.forkserver_client import ForkServerConfig
from hashwacht.hashing.workers.outcomes import (
    BLOCKED_DETAIL,
    CRASH_REASONS,
    MemoryCrashLog,
    as_failure,
    decoder,
    failure_from_crash,
    planned_signal_types,
    read,
    reply_decoders,
)
from hashwacht.hashing.workers.protocol import (
    MAX_BATCH,
    InvalidReply,
    PictureResult,
    Reply,
    ReplyDecoder,
    TaskFailure,
    WorkerKind,
)
from hashwacht.hashing.workers.sandbox import WorkerLimits
from hashwacht.hashing.workers.scheduler import FairScheduler, SchedulerLane
from hashwacht.hashing.workers.streaming import PoolStreamHasher
from hashwacht.hashing.workers.tasks import DigestTask
from hashwacht.hashing.workers.worker_client import WorkerClient, WorkerDied, WorkerTimeout
from hashwacht.hashing.workers.worker_registry import WorkerRegistry
from hashwacht.platform.process import SandboxLayers

TASK_FACTORY = "hashwacht.hashing.workers.tasks:make_task"
"""What makes the parts of a fingerprint in the workers."""

_HUNG = 16
"""Killed workers that may hang in the kernel (a dead file server) before no more are born."""

MAX_BATCHED_SIZE = 256 << 10
"""Bytes up to which contents go to a worker several at a time: the others wait for the slowest."""

UNBATCHED_AFTER_CRASH = 64
"""So many contents go alone after one that ended a worker, or may have."""


class _Trouble(Exception):
    """A worker was lost to one of several contents, nobody knows which."""


class WorkerPool:
    """Up to *jobs* contents at a time, each in worker processes of its own.  Thread-safe.

    Workers are born when first needed: for each job one that reads and digests, one that
    decodes, and one that runs operators' programs if the plan names any.  Small contents that
    wait go together, as long as none makes trouble; then each goes alone, and is blamed alone.
    Create it after any fork: a copy in a child process refuses to work.
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
        """Start the nursery.  Raises WorkerError, ConfigurationError for an unknown type.

        *background*: lowest processor and I/O priority.  *maker*, ``module:callable``, gives
        the Part that runs in a worker.  *culprits* remembers contents that end their workers.
        *require_sandbox*: no worker may run without every layer of the sandbox.
        """
        self._types = planned_signal_types(plan)
        self._plan = plan
        self._looks = (
            (WorkerKind.COMMANDS, WorkerKind.PICTURE) if plan.commands else (WorkerKind.PICTURE,)
        )
        self._crash_log = crash_log or MemoryCrashLog()
        self._crash_log.set_decoder(decoder(plan))
        room = len(WorkerKind) * jobs + _HUNG
        order = ForkServerConfig(
            plan, task_factory, room, background, worker_limits or WorkerLimits()
        )
        self._registry = WorkerRegistry(order, require_sandbox=require_sandbox)
        self._codecs: Mapping[WorkerKind, ReplyDecoder] = {}
        self._ahead: tuple[DigestTask | None, tuple[str, ...]] | None = None
        self._turns: FairScheduler[int, Fingerprint] = FairScheduler(jobs, MAX_BATCH)
        self._wary = 0

    @property
    def recipe(self) -> tuple[str, ...]:
        """The signal types it attempts, each with its version."""
        return self._registry.server_info()[0]

    @property
    def layers(self) -> SandboxLayers:
        """The layers of the sandbox around a decoder: why each is not active, "" if it is.

        Raises WorkerError.
        """
        with (
            self._turns.slot(SchedulerLane.LOCAL),
            self._registry.checkout(WorkerKind.PICTURE) as worker,
        ):
            return worker.layers

    def fingerprint(self, fd: int, *, upload: bool = False) -> Fingerprint:
        """Read *fd* to its end in a worker; wait for one if all are busy.

        Raises OSError if the file system refuses (ETIMEDOUT: it does not deliver; EIO: not even
        the digests could be computed), WorkerError if no worker can be started or the pool is
        closed.
        """
        lane = SchedulerLane.UPLOAD if upload else SchedulerLane.LOCAL
        if self._may_go_along(fd):
            for found in self._turns.run_batched(lane, fd, self._some):
                return found
            return self._opened_anew(fd, lane)
        with self._turns.slot(lane):
            return self._alone(fd)

    def _opened_anew(self, fd: int, lane: SchedulerLane) -> Fingerprint:
        """Take one alone after its worker was lost, which may still move the offset of *fd*."""
        again = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            with self._turns.slot(lane):
                return self._alone(again)
        finally:
            os.close(again)

    def _may_go_along(self, fd: int) -> bool:
        if self._wary:
            self._wary = max(0, self._wary - 1)
            return False
        return len(self._looks) == 1 and os.fstat(fd).st_size <= MAX_BATCHED_SIZE

    def _alone(self, fd: int) -> Fingerprint:
        """Take one content all the way."""
        digests, copy = self._digest(fd)
        if copy is None:
            return digests
        try:
            return self._looked_at(digests, copy)
        finally:
            os.close(copy)

    def _some(self, fds: Sequence[int]) -> Sequence[Fingerprint]:
        """Take some contents all the way at once; nothing if any of them makes trouble."""
        if len(fds) == 1:
            return [self._alone(fds[0])]
        copies: dict[int, int] = {}
        try:
            return self._together(fds, copies)
        except (_Trouble, OSError):
            self._wary = UNBATCHED_AFTER_CRASH
            return []
        finally:
            for each in copies.values():
                os.close(each)

    def _together(self, fds: Sequence[int], copies: dict[int, int]) -> list[Fingerprint]:
        """Do it; note the *copies*, to be closed.  Raises _Trouble, OSError, WorkerError."""
        answers = self._ask(WorkerKind.DIGESTS, fds)
        copies.update((at, copy) for at, (_, copy) in enumerate(answers) if copy is not None)
        found = [reply for reply, _ in answers if isinstance(reply, Fingerprint)]
        if len(found) < len(answers):
            raise _Trouble
        seen = {at: self._barred(found[at].key) for at in copies}
        able = [at for at, barred in seen.items() if barred is None]
        looks = self._ask(WorkerKind.PICTURE, [copies[at] for at in able])
        for at, (reply, _) in zip(able, looks, strict=True):
            seen[at] = self._seen(WorkerKind.PICTURE, reply, found[at].key)
        return [
            _with(one, [look]) if (look := seen.get(at)) else one for at, one in enumerate(found)
        ]

    def _ask(self, worker_kind: WorkerKind, fds: Sequence[int]) -> list[tuple[Reply, int | None]]:
        """Ask one worker about some contents.  Raises _Trouble, OSError, WorkerError."""
        if not fds:
            return []
        with self._registry.checkout(worker_kind) as worker:
            try:
                return self._answers(worker, fds)
            except (WorkerDied, WorkerTimeout, InvalidReply) as error:
                self._registry.kill(worker)
                self._registry.check_open(error)
                raise _Trouble from error

    def _answers(self, worker: WorkerClient, fds: Sequence[int]) -> list[tuple[Reply, int | None]]:
        """Give the replies, and the copies, which are the caller's to close.

        Raises Died, Late, Nonsense; the worker must then be ended.
        """
        answered = worker.request(fds)
        try:
            codec = self._codec(worker.worker_kind)
            return [(codec.decode(body), copy) for body, copy in answered]
        except BaseException:
            for _, copy in answered:
                if copy is not None:
                    os.close(copy)
            raise

    def open_stream(self) -> PoolStreamHasher | None:
        """Begin a content that is still coming in; the first call waits for the nursery.

        None if an operator's digest is wanted: its code runs in workers only.  Raises WorkerError.
        """
        if self._ahead is None:
            recipe, digests = self._registry.server_info()
            able = {each.name for each in DIGESTS}.issuperset(digests)
            self._ahead = DigestTask(self._plan) if able else None, recipe
        digesting, recipe = self._ahead
        return PoolStreamHasher(digesting, recipe, self._in_turn) if digesting else None

    def _in_turn(self, digests: Fingerprint, copy: int) -> Fingerprint:
        with self._turns.slot(SchedulerLane.LOCAL):
            return self._looked_at(digests, copy)

    def _looked_at(self, digests: Fingerprint, copy: int) -> Fingerprint:
        """Add what is seen in a copy of the content."""
        return _with(digests, [self._look(each, copy, digests.key) for each in self._looks])

    def _digest(self, fd: int) -> tuple[Fingerprint, int | None]:
        """Have a content read; a worker that somebody killed is no reason to give it up."""
        reply, copy = self._attempt(WorkerKind.DIGESTS, fd)
        if isinstance(reply, TaskFailure) and reply.reason is Reason.WORKER_DIED:
            os.lseek(fd, 0, os.SEEK_SET)
            reply, copy = self._attempt(WorkerKind.DIGESTS, fd)
        return read(reply), copy

    def _look(self, worker_kind: WorkerKind, copy: int, key: str) -> PictureResult:
        """Have a copy looked at, unless the content has ended too many workers already."""
        if worker_kind is WorkerKind.PICTURE and (barred := self._barred(key)) is not None:
            return barred
        reply, _ = self._attempt(worker_kind, copy)
        return self._seen(worker_kind, reply, key)

    def _barred(self, key: str) -> PictureResult | None:
        """Say why a content is not decoded any more, if it is not."""
        reason = self._crash_log.block_reason(key)
        if reason is None:
            return None
        types = self._codec(WorkerKind.PICTURE).types
        return PictureResult(
            (), tuple(Skip(each, reason, BLOCKED_DETAIL) for each in types), damaged=False
        )

    def _seen(self, worker_kind: WorkerKind, reply: Reply, key: str) -> PictureResult:
        """Take what came of a look; note whom to blame."""
        if not isinstance(reply, PictureResult):
            why = as_failure(reply)
            types = self._codec(worker_kind).types
            skips = tuple(Skip(each, why.reason, why.detail) for each in types)
            reply = PictureResult((), skips, damaged=False)
        blamed = {each.reason for each in reply.skipped} & CRASH_REASONS
        if worker_kind is WorkerKind.PICTURE and blamed:
            self._wary = UNBATCHED_AFTER_CRASH
            self._crash_log.record_crash(key, min(blamed))
        return reply

    def _attempt(self, worker_kind: WorkerKind, fd: int) -> tuple[Reply, int | None]:
        """Have one worker try; the copy is the caller's to close."""
        while True:
            with self._registry.checkout(worker_kind) as worker:
                try:
                    return self._answers(worker, [fd])[0]
                except (WorkerDied, WorkerTimeout, InvalidReply) as error:
                    status = self._registry.kill(worker)
                    self._registry.check_open(error)
                    if worker.accepted:
                        return failure_from_crash(error, status), None

    def _codec(self, worker_kind: WorkerKind) -> ReplyDecoder:
        """Give what decodes the answers to an attempt; known once the nursery is ready."""
        if not self._codecs:
            recipe, digests = self._registry.server_info()
            self._codecs = reply_decoders(self._plan, self._types, recipe, digests)
        return self._codecs[worker_kind]

    def close(self) -> None:
        """Kill the workers, whatever they are doing; who waits for one gets a WorkerError."""
        self._registry.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _with(digests: Fingerprint, seen: Sequence[PictureResult]) -> Fingerprint:
    """Add what was seen in a copy of the content."""
    return replace(
        digests,
        signals=(*digests.signals, *(s for each in seen for s in each.signals)),
        skipped=(*digests.skipped, *(s for each in seen for s in each.skipped)),
        damaged=any(each.damaged for each in seen),
    )
