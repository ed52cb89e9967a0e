"""The worker processes of a pool: lent one content at a time, taken back, ended, replaced."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from hashwacht.core.errors import WorkerError
from hashwacht.hashing.workers.forkserver_client import NurseryGone, NurseryLink, Order
from hashwacht.hashing.workers.protocol import Attempt
from hashwacht.hashing.workers.worker_client import WorkerLink


class Staff:
    """Workers of every kind, born when first needed.  Thread-safe."""

    def __init__(self, order: Order, *, require_sandbox: bool) -> None:
        """Start the nursery.  Raises WorkerError."""
        self._order, self._required = order, require_sandbox
        self._nursery = NurseryLink(order)
        self._known: tuple[tuple[str, ...], tuple[str, ...]] | None = None
        self._changing = Lock()
        self._owner = os.getpid()
        self._closed = False
        self._idle: dict[Attempt, list[WorkerLink]] = {each: [] for each in Attempt}

    @contextmanager
    def lend(self, attempt: Attempt) -> Iterator[WorkerLink]:
        """Lend a worker, and take it back unless it is over or its borrower was interrupted."""
        if os.getpid() != self._owner:
            raise WorkerError(
                "the worker pool belongs to the process that this one was forked from",
                advice="Create it after the fork, in each process that uses it.",
            )
        worker: WorkerLink | None = None
        reusable = False
        try:
            worker = self._take(attempt)
            yield worker
            reusable = not (worker.over or worker.buried)
        finally:
            if worker is not None and not (reusable and self._give_back(worker)):
                self.end(worker)

    def _take(self, attempt: Attempt) -> WorkerLink:
        """Take the worker that was last at work, or have one born."""
        with self._changing:
            if self._closed:
                raise _closed()
            if self._idle[attempt]:
                return self._idle[attempt].pop()
        worker = self._bear(attempt)
        lacking = {name: why for name, why in worker.layers.items() if why}
        if self._required and lacking:
            self.end(worker)
            raise WorkerError(
                f"the sandbox is incomplete: {'; '.join(map(': '.join, lacking.items()))}",
                advice="Run it on a kernel that has these, or set fingerprint.require_sandbox to"
                " false.",
            )
        return worker

    def _give_back(self, worker: WorkerLink) -> bool:
        with self._changing:
            if not self._closed:
                self._idle[worker.attempt].append(worker)
            return not self._closed

    def _bear(self, attempt: Attempt) -> WorkerLink:
        """Have a worker born; if the nursery itself has died, by a new one."""
        nursery = self._nursery
        try:
            return nursery.bear(attempt)
        except NurseryGone:
            return self._instead_of(nursery).bear(attempt)

    def loaded(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Give recipe and digests, which any nursery of this pool would give."""
        if self._known is None:
            nursery = self._nursery
            try:
                self._known = nursery.ready()
            except NurseryGone:
                self._known = self._instead_of(nursery).ready()
        return self._known

    def _instead_of(self, nursery: NurseryLink) -> NurseryLink:
        """Give the nursery that is there in place of one that has died."""
        with self._changing:
            if self._closed:
                raise _closed()
            if self._nursery is nursery:
                nursery.close()
                self._nursery = NurseryLink(self._order)
            return self._nursery

    def end(self, worker: WorkerLink) -> int | None:
        """Make sure that a worker is dead; give its wait status if known.

        Raises OSError if it hangs in the kernel: it might still move the offset of the file.
        """
        if worker.buried:
            return None
        worker.buried = True
        status = self._nursery.bury(worker)
        gone = worker.gone()
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
            self._nursery.close()
            for workers in self._idle.values():
                while workers:
                    workers.pop().close()


def _closed() -> WorkerError:
    return WorkerError("the worker pool is closed", advice="Start the command again.")
