"""The scanner's end: sends small contents to a worker, many at a time.

Whatever is not decided here is read in the other way, one by one: what may be a picture, what
cannot be read, and all contents of a request whose worker was lost.  So a content that crashes a
worker costs the others of its request time, and nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from hashwacht.core.types import Fingerprint
from hashwacht.hashing.workers.protocol import WorkerKind
from hashwacht.hashing.workers.scheduler import FairScheduler, SchedulerLane
from hashwacht.hashing.workers.small.small_protocol import MAX_SMALL_BATCH, SmallReplyDecoder
from hashwacht.hashing.workers.small.small_task import computes_digests
from hashwacht.hashing.workers.worker_client import WorkerDied, WorkerTimeout
from hashwacht.hashing.workers.worker_registry import WorkerRegistry
from hashwacht.ipc.codec import ProtocolError


class SmallContents:
    """Digests small contents in workers of *registry*.  Thread-safe."""

    def __init__(self, registry: WorkerRegistry, types: Collection[str], jobs: int) -> None:
        """*types* are the planned signal types; *jobs* requests are served at a time."""
        self._registry, self._types = registry, tuple(types)
        self._scheduler: FairScheduler[int, Fingerprint] = FairScheduler(jobs)
        self._decoder: SmallReplyDecoder | None = None

    def fingerprint(self, fds: Sequence[int]) -> list[Fingerprint | None]:
        """Return the fingerprints of contents that need digests only, None for all others.

        Raises WorkerError.
        """
        recipe, digests = self._registry.server_info()
        if not computes_digests(frozenset(digests)):
            return [None] * len(fds)
        if self._decoder is None:
            names = [name for name in self._types if name in digests]
            others = [name for name in self._types if name not in digests]
            self._decoder = SmallReplyDecoder(recipe, names, others)
        results: list[Fingerprint | None] = []
        for start in range(0, len(fds), MAX_SMALL_BATCH):
            results += self._request(self._decoder, fds[start : start + MAX_SMALL_BATCH])
        return results

    def _request(self, decoder: SmallReplyDecoder, fds: Sequence[int]) -> list[Fingerprint | None]:
        try:
            with (
                self._scheduler.slot(SchedulerLane.LOCAL),
                self._registry.checkout(WorkerKind.SMALL) as worker,
            ):
                try:
                    answer = worker.request(fds)
                    return decoder.decode(answer.body, len(fds))
                except (WorkerDied, WorkerTimeout, ProtocolError) as error:
                    self._registry.kill(worker)
                    self._registry.check_open(error)
        except OSError:  # the worker hangs in the kernel
            pass
        return [None] * len(fds)
