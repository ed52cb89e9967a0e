"""Requests to workers: send contents, decode the replies, and kill a worker that fails."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from hashwacht.core.ports import SignalType
from hashwacht.hashing import Plan
from hashwacht.hashing.workers.outcomes import crash_failure, reply_decoders
from hashwacht.hashing.workers.protocol import Reply, ReplyDecoder, WorkerKind
from hashwacht.hashing.workers.upload_turns import TurnOver
from hashwacht.hashing.workers.worker_client import WorkerClient, WorkerDied, WorkerTimeout
from hashwacht.hashing.workers.worker_registry import WorkerRegistry
from hashwacht.ipc.codec import ProtocolError


class BatchFailed(Exception):
    """A worker was lost to one content of a batch; which one is unknown."""


class WorkerRequests:
    """Requests to the workers of *registry*, which work by *plan*.  Thread-safe."""

    def __init__(
        self, registry: WorkerRegistry, plan: Plan, types: Mapping[str, SignalType]
    ) -> None:
        """Decode signals of *types*, the planned ones by name."""
        self._registry, self._plan, self._types = registry, plan, types
        self._decoders: Mapping[WorkerKind, ReplyDecoder] = {}

    def send_batch(
        self, worker_kind: WorkerKind, fds: Sequence[int]
    ) -> list[tuple[Reply, int | None]]:
        """Send one request for all contents.  Raises BatchFailed, OSError, WorkerError."""
        if not fds:
            return []
        with self._registry.checkout(worker_kind) as worker:
            try:
                return self.send(worker, fds)
            except (WorkerDied, WorkerTimeout, ProtocolError) as error:
                self._registry.kill(worker)
                self._registry.check_open(error)
                raise BatchFailed from error

    def send(
        self,
        worker: WorkerClient,
        fds: Sequence[int],
        max_read_time: float = math.inf,
        seconds: float | None = None,
    ) -> list[tuple[Reply, int | None]]:
        """Return the replies of *worker* and the copies, which the caller must close.

        Raises WorkerDied, WorkerTimeout, ProtocolError; the worker must then be killed.
        """
        answer = worker.request(fds, max_read_time, seconds)
        try:
            replies = self.decoder(worker.worker_kind).decode(answer.body, len(fds))
            return list(zip(replies, answer.copies, strict=True))
        except BaseException:
            answer.close()
            raise

    def attempt(
        self, worker_kind: WorkerKind, fd: int, seconds: float | None = None
    ) -> tuple[Reply, int | None]:
        """Return the reply of one worker, or why it failed; the caller must close the copy.

        Raises TurnOver after *seconds*, if they are given and less than the budget.
        """
        if seconds is not None and seconds >= self._plan.limits.timeout:
            seconds = None
        while True:
            with self._registry.checkout(worker_kind) as worker:
                try:
                    return self.send(worker, [fd], seconds=seconds)[0]
                except (WorkerDied, WorkerTimeout, ProtocolError) as error:
                    status = self._registry.kill(worker)
                    self._registry.check_open(error)
                    if seconds is not None and isinstance(error, WorkerTimeout):
                        raise TurnOver from error
                    if worker.accepted:
                        return crash_failure(error, status), None

    def decoder(self, worker_kind: WorkerKind) -> ReplyDecoder:
        """Return the decoder of a kind's replies; the first call waits for the fork server."""
        if not self._decoders:
            recipe, digests = self._registry.server_info()
            self._decoders = reply_decoders(self._plan, self._types, recipe, digests)
        return self._decoders[worker_kind]
