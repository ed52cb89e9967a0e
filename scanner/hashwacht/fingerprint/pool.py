"""The worker pool: a Fingerprinter whose contents can hurt nobody but their own worker.

The main path is :meth:`WorkerPool.fingerprint`.  Whatever a content does to its worker, its
digests are asked nevertheless: they come from a second worker that decodes nothing, and the
signals that are missing are accounted for (Law 2: unanswered is undetermined).

No pool off the shelf would do: multiprocessing's and ProcessPoolExecutor lose half the queue
with one dead worker (measured), pebble and loky cannot hand an open descriptor to a worker that
may not open sockets, and all of them unpickle what a worker sends.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from queue import LifoQueue
from threading import Lock
from types import TracebackType
from typing import Self

from hashwacht.errors import WorkerError
from hashwacht.fingerprint.confine import Stamina
from hashwacht.fingerprint.nursery_link import NurseryGone, NurseryLink, Order
from hashwacht.fingerprint.plan import Plan
from hashwacht.fingerprint.wire import Attempt, Codec, Failed, Nonsense, Reply, Unreadable
from hashwacht.fingerprint.worker_link import Died, Late, WorkerLink
from hashwacht.ports import SignalType
from hashwacht.signal_types import BUILT_IN, TextSignalType, signal_types
from hashwacht.types import Fingerprint, Reason, Skip

IN_PROCESS = "hashwacht.fingerprint.in_process:InProcess"
"""What computes fingerprints in a worker."""

_HUNG = 16
"""Killed workers that may hang in the kernel (a dead file server) before no more are born."""


class WorkerPool:
    """Up to *jobs* worker processes, born when first needed.  Thread-safe.

    Create it after any fork: a copy in a child process refuses to work.
    """

    def __init__(
        self,
        plan: Plan,
        jobs: int,
        *,
        background: bool = False,
        maker: str = IN_PROCESS,
        stamina: Stamina | None = None,
    ) -> None:
        """Start the nursery.  Raises WorkerError, ConfigurationError for an unknown type.

        *background*: lowest processor and I/O priority.  *maker*, ``module:callable``, gives
        the Fingerprinter that runs in the workers.
        """
        self._types = _signal_types(plan)
        self._order = Order(plan, maker, jobs + _HUNG, background, stamina or Stamina())
        self._nursery = NurseryLink(self._order)
        self._codecs: Mapping[Attempt, Codec] = {}
        self._changing = Lock()
        self._owner = os.getpid()
        self._closed = False
        self._idle: LifoQueue[WorkerLink | None] = LifoQueue()
        for _ in range(jobs):
            self._idle.put(None)

    @property
    def recipe(self) -> tuple[str, ...]:
        """The signal types it attempts, each with its version."""
        return self._nursery.ready()[0]

    def fingerprint(self, fd: int) -> Fingerprint:
        """Read *fd* to its end in a worker; wait for one if all are busy.

        Raises OSError if the file system refuses (ETIMEDOUT: it does not deliver; EIO: not even
        the digests could be computed), WorkerError if no worker can be started or the pool is
        closed.
        """
        first = self._attempt(Attempt.WHOLE, fd)
        if not isinstance(first, Failed):
            return _read(first)
        os.lseek(fd, 0, os.SEEK_SET)
        digests = _read(self._attempt(Attempt.DIGESTS, fd))
        present = {each.type for each in digests.signals}
        missing = [name for name in self._types if name not in present]
        return replace(
            digests,
            recipe=self.recipe,
            skipped=tuple(Skip(name, first.reason, first.detail) for name in missing),
        )

    def _attempt(self, attempt: Attempt, fd: int) -> Reply:
        """Have one worker try."""
        while True:
            with self._worker() as worker:
                try:
                    return self._codec(attempt).decode(worker.ask(attempt, fd))
                except (Died, Late, Nonsense) as error:
                    status = self._end(worker)
                    if self._closed:
                        raise _closed() from error
                    if worker.took:
                        return _blame(error, status)

    @contextmanager
    def _worker(self) -> Iterator[WorkerLink]:
        """Lend a worker, and take it back unless it is over or its borrower was interrupted."""
        if os.getpid() != self._owner:
            raise WorkerError(
                "the worker pool belongs to the process that this one was forked from",
                advice="Create it after the fork, in each process that uses it.",
            )
        worker = self._idle.get()
        reusable = False
        try:
            if worker is None:
                worker = self._bear()
            yield worker
            reusable = not (worker.over or worker.buried or self._closed)
        finally:
            try:
                if worker is not None and not reusable:
                    self._end(worker)
            finally:
                self._idle.put(worker if reusable else None)

    def _bear(self) -> WorkerLink:
        """Have a worker born; if the nursery itself has died, by a new one."""
        nursery = self._nursery
        try:
            return nursery.bear()
        except NurseryGone:
            with self._changing:
                if self._closed:
                    raise _closed() from None
                if self._nursery is nursery:
                    nursery.close()
                    self._nursery = NurseryLink(self._order)
        return self._nursery.bear()

    def _end(self, worker: WorkerLink) -> int | None:
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

    def _codec(self, attempt: Attempt) -> Codec:
        """Give what decodes the answers to an attempt; known once the nursery is ready."""
        if not self._codecs:
            recipe, names = self._nursery.ready()
            digests = {name: self._types[name] for name in names}
            self._codecs = {
                Attempt.WHOLE: Codec(self._types, recipe),
                Attempt.DIGESTS: Codec(digests, recipe),
            }
        return self._codecs[attempt]

    def close(self) -> None:
        """Kill the workers, whatever they are doing; who waits for one gets a WorkerError."""
        with self._changing:
            if self._closed or os.getpid() != self._owner:
                return
            self._closed = True
            self._nursery.close()
        idle = [self._idle.get() for _ in range(self._idle.qsize())]
        for worker in idle:
            if worker is not None:
                worker.close()
            self._idle.put(None)  # wakes who waits, to find the pool closed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _signal_types(plan: Plan) -> dict[str, SignalType]:
    """Find what judges the form of the values that workers send."""
    commands = {name for name, _ in plan.commands if name not in BUILT_IN}
    found = signal_types(name for name in plan.types if name not in commands)
    return {n: TextSignalType(n) if n in commands else found[n] for n in plan.types}


def _read(reply: Reply) -> Fingerprint:
    """Give the fingerprint.  Raises OSError if there is none."""
    match reply:
        case Fingerprint():
            return reply
        case Unreadable(errno=number):
            raise OSError(number, os.strerror(number))
        case Failed(reason=Reason.TIMED_OUT):
            raise OSError(errno.ETIMEDOUT, "the file system does not deliver")
    raise OSError(errno.EIO, f"not even the digests could be computed: {reply.detail}")


def _blame(error: Died | Late | Nonsense, status: int | None) -> Failed:
    """Say what a content did to its worker."""
    if isinstance(error, Late):
        return Failed(Reason.TIMED_OUT, "no progress within its time")
    if isinstance(error, Nonsense):
        return Failed(Reason.WORKER_DIED, f"nonsense from its worker: {error}")
    if status is not None and os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number == signal.SIGPROF:
            return Failed(Reason.TIMED_OUT, "its processor time is used up")
        return Failed(Reason.WORKER_DIED, error.detail or f"signal {number}")
    return Failed(Reason.WORKER_DIED, error.detail or "its worker ended")


def _closed() -> WorkerError:
    return WorkerError("the worker pool is closed", advice="Start the command again.")
