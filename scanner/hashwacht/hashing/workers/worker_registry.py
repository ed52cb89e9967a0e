"""The worker processes of a pool: lent one content at a time, taken back, ended, replaced."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from hashwacht.core.errors import WorkerError
from hashwacht.hashing.workers.forkserver_client import (
    ForkServerClient,
    ForkServerConfig,
    ForkServerDied,
)
from hashwacht.hashing.workers.protocol import WorkerKind
from hashwacht.hashing.workers.worker_client import WorkerClient


class WorkerRegistry:
    """Workers of every kind, born when first needed.  Thread-safe."""

    def __init__(self, order: ForkServerConfig, *, require_sandbox: bool) -> None:
        """Start the nursery.  Raises WorkerError."""
        self._order, self._required = order, require_sandbox
        self._fork_server = ForkServerClient(order)
        self._known: tuple[tuple[str, ...], tuple[str, ...]] | None = None
        self._changing = Lock()
        self._owner = os.getpid()
        self._closed = False
        self._idle: dict[WorkerKind, list[WorkerClient]] = {each: [] for each in WorkerKind}

    @contextmanager
    def checkout(self, worker_kind: WorkerKind) -> Iterator[WorkerClient]:
        """Lend a worker, and take it back unless it is over or its borrower was interrupted."""
        if os.getpid() != self._owner:
            raise WorkerError(
                "the worker pool belongs to the process that this one was forked from",
                advice="Create it after the fork, in each process that uses it.",
            )
        worker: WorkerClient | None = None
        reusable = False
        try:
            worker = self._take(worker_kind)
            yield worker
            reusable = not (worker.exited or worker.reaped)
        finally:
            if worker is not None and not (reusable and self._give_back(worker)):
                self.kill(worker)

    def _take(self, worker_kind: WorkerKind) -> WorkerClient:
        """Take the worker that was last at work, or have one born."""
        with self._changing:
            if self._closed:
                raise _closed()
            if self._idle[worker_kind]:
                return self._idle[worker_kind].pop()
        worker = self._spawn(worker_kind)
        lacking = {name: why for name, why in worker.layers.items() if why}
        if self._required and lacking:
            self.kill(worker)
            raise WorkerError(
                f"the sandbox is incomplete: {'; '.join(map(': '.join, lacking.items()))}",
                advice="Run it on a kernel that has these, or set fingerprint.require_sandbox to"
                " false.",
            )
        return worker

    def _give_back(self, worker: WorkerClient) -> bool:
        with self._changing:
            if not self._closed:
                self._idle[worker.worker_kind].append(worker)
            return not self._closed

    def _spawn(self, worker_kind: WorkerKind) -> WorkerClient:
        """Have a worker born; if the nursery itself has died, by a new one."""
        fork_server = self._fork_server
        try:
            return fork_server.spawn(worker_kind)
        except ForkServerDied:
            return self._instead_of(fork_server).spawn(worker_kind)

    def server_info(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Give recipe and digests, which any nursery of this pool would give."""
        if self._known is None:
            fork_server = self._fork_server
            try:
                self._known = fork_server.ready()
            except ForkServerDied:
                self._known = self._instead_of(fork_server).ready()
        return self._known

    def _instead_of(self, fork_server: ForkServerClient) -> ForkServerClient:
        """Give the nursery that is there in place of one that has died."""
        with self._changing:
            if self._closed:
                raise _closed()
            if self._fork_server is fork_server:
                fork_server.close()
                self._fork_server = ForkServerClient(self._order)
            return self._fork_server

    def kill(self, worker: WorkerClient) -> int | None:
        """Make sure that a worker is dead; give its wait status if known.

        Raises OSError if it hangs in the kernel: it might still move the offset of the file.
        """
        if worker.reaped:
            return None
        worker.reaped = True
        status = self._fork_server.reap(worker)
        gone = worker.wait_closed()
        worker.close()
        if not gone:
            raise OSError(errno.ETIMEDOUT, "the file system does not deliver")
        return status

    def check_open(self, cause: Exception) -> None:
        """Raise WorkerError, because of *cause*, if all was closed."""
        if self._closed:
            raise _closed() from cause

    def close(self) -> None:
        """Kill the workers, whatever they are doing; who waits for one gets a WorkerError."""
        with self._changing:
            if self._closed or os.getpid() != self._owner:
                return
            self._closed = True
            self._fork_server.close()
            for workers in self._idle.values():
                while workers:
                    workers.pop().close()


def _closed() -> WorkerError:
    return WorkerError("the worker pool is closed", advice="Start the command again.")
