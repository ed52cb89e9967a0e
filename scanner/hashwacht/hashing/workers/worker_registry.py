"""The worker processes of a pool: checked out for one request, returned, killed, replaced."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TypeVar

from hashwacht.core.errors import WorkerError
from hashwacht.hashing.workers.forkserver.forkserver_client import ForkServerClient, ForkServerDied
from hashwacht.hashing.workers.forkserver.forkserver_protocol import ForkServerConfig
from hashwacht.hashing.workers.protocol import WorkerKind
from hashwacht.hashing.workers.worker_client import WorkerClient

T = TypeVar("T")


class WorkerRegistry:
    """The idle workers of every kind, started when first needed.  Thread-safe."""

    def __init__(self, config: ForkServerConfig, *, require_sandbox: bool) -> None:
        self._config, self._require_sandbox = config, require_sandbox
        self._fork_server = ForkServerClient(config)
        self._server_info: tuple[tuple[str, ...], tuple[str, ...]] | None = None
        self._lock = Lock()
        self._owner = os.getpid()
        self._closed = False
        self._idle: dict[WorkerKind, list[WorkerClient]] = {kind: [] for kind in WorkerKind}

    @contextmanager
    def checkout(self, worker_kind: WorkerKind) -> Iterator[WorkerClient]:
        """Yield a worker; afterwards keep it as idle, unless it has ended or the block raised.

        Raises WorkerError.
        """
        if os.getpid() != self._owner:
            raise WorkerError(
                "the worker pool belongs to the process that this one was forked from",
                advice="Create it after the fork, in each process that uses it.",
            )
        worker = self._take(worker_kind)
        reusable = False
        try:
            yield worker
            reusable = not (worker.exited or worker.reaped)
        finally:
            if not (reusable and self._give_back(worker)):
                self.kill(worker)

    def _take(self, worker_kind: WorkerKind) -> WorkerClient:
        with self._lock:
            if self._closed:
                raise _closed()
            if self._idle[worker_kind]:
                return self._idle[worker_kind].pop()
        worker = self._ask(lambda fork_server: fork_server.spawn(worker_kind))
        missing = {name: why for name, why in worker.layers.items() if why}
        if self._require_sandbox and missing:
            self.kill(worker)
            raise WorkerError(
                f"the sandbox is incomplete: {'; '.join(map(': '.join, missing.items()))}",
                advice="Use a kernel that has these layers, or set fingerprint.require_sandbox to"
                " false.",
            )
        return worker

    def _give_back(self, worker: WorkerClient) -> bool:
        with self._lock:
            if not self._closed:
                self._idle[worker.worker_kind].append(worker)
            return not self._closed

    def server_info(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return recipe and digest names, which are the same for every fork server of this pool."""
        if self._server_info is None:
            self._server_info = self._ask(ForkServerClient.ready)
        return self._server_info

    def _ask(self, request: Callable[[ForkServerClient], T]) -> T:
        """Return the answer of the fork server, or of its successor if it has died."""
        fork_server = self._fork_server
        try:
            return request(fork_server)
        except ForkServerDied:
            return request(self._replace(fork_server))

    def _replace(self, fork_server: ForkServerClient) -> ForkServerClient:
        """Return the successor of a fork server that has died; several threads get the same."""
        with self._lock:
            if self._closed:
                raise _closed()
            if self._fork_server is fork_server:
                fork_server.close()
                self._fork_server = ForkServerClient(self._config)
            return self._fork_server

    def kill(self, worker: WorkerClient) -> int | None:
        """Kill a worker if it is still running; return its wait status if known.

        Raises OSError if it hangs in the kernel: it might still move the offset of the file.
        """
        if worker.reaped:
            return None
        worker.reaped = True
        status = self._fork_server.reap(worker)
        gone = worker.wait_closed()
        worker.close()
        if not gone:
            raise OSError(errno.ETIMEDOUT, "the file system does not respond")
        return status

    def check_open(self, cause: Exception) -> None:
        """Raise WorkerError, with *cause*, if the registry is closed."""
        if self._closed:
            raise _closed() from cause

    def close(self) -> None:
        """Kill the workers, whatever they are doing; pending calls raise WorkerError."""
        with self._lock:
            if self._closed or os.getpid() != self._owner:
                return
            self._closed = True
            self._fork_server.close()
            for workers in self._idle.values():
                while workers:
                    workers.pop().close()


def _closed() -> WorkerError:
    return WorkerError("the worker pool is closed", advice="Start the command again.")
