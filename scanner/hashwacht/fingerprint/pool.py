"""The worker pool: a Fingerprinter whose contents can hurt nobody but their own worker.

The main path is :meth:`WorkerPool.fingerprint`.  Whatever a content does to the worker that
decodes it, its digests are asked nevertheless: they come from another worker that decodes
nothing, and the signals that are missing are accounted for (Law 2: unanswered is undetermined).

No pool off the shelf would do: multiprocessing's and ProcessPoolExecutor lose half the queue
with one dead worker (measured), pebble and loky cannot hand an open descriptor to a worker that
may not open sockets, and all of them unpickle what a worker sends.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock
from typing import Self

from hashwacht.errors import WorkerError
from hashwacht.fingerprint.confine import Layers, Stamina
from hashwacht.fingerprint.culprits import BARRED, BLAMED, InMemory, decoder
from hashwacht.fingerprint.nursery_link import NurseryGone, NurseryLink, Order
from hashwacht.fingerprint.parts import Digesting
from hashwacht.fingerprint.plan import Plan
from hashwacht.fingerprint.read_ahead import ReadAhead
from hashwacht.fingerprint.replies import blame, codecs, failed, read, wanted_types
from hashwacht.fingerprint.turns import Line, Turns
from hashwacht.fingerprint.wire import Attempt, Codec, Failed, Nonsense, Reply, Seen
from hashwacht.fingerprint.worker_link import Died, Late, WorkerLink
from hashwacht.ports import Culprits
from hashwacht.signal_types import DIGESTS
from hashwacht.types import Fingerprint, Reason, Skip

PARTS = "hashwacht.fingerprint.parts:part"
"""What makes the parts of a fingerprint in the workers."""

_HUNG = 16
"""Killed workers that may hang in the kernel (a dead file server) before no more are born."""


class WorkerPool:
    """Up to *jobs* contents at a time, each in worker processes of its own.  Thread-safe.

    Workers are born when first needed: for each job one that reads and digests, one that
    decodes, and one that runs operators' programs if the plan names any.
    Create it after any fork: a copy in a child process refuses to work.
    """

    def __init__(
        self,
        plan: Plan,
        jobs: int,
        *,
        background: bool = False,
        maker: str = PARTS,
        stamina: Stamina | None = None,
        culprits: Culprits | None = None,
        require_sandbox: bool = False,
    ) -> None:
        """Start the nursery.  Raises WorkerError, ConfigurationError for an unknown type.

        *background*: lowest processor and I/O priority.  *maker*, ``module:callable``, gives
        the Part that runs in a worker.  *culprits* remembers contents that end their workers.
        *require_sandbox*: no worker may run without every layer of the sandbox.
        """
        self._types = wanted_types(plan)
        self._required = require_sandbox
        self._order = Order(
            plan, maker, len(Attempt) * jobs + _HUNG, background, stamina or Stamina()
        )
        self._looks = (Attempt.COMMANDS, Attempt.PICTURE) if plan.commands else (Attempt.PICTURE,)
        self._culprits = culprits or InMemory()
        self._culprits.use(decoder(plan))
        self._nursery = NurseryLink(self._order)
        self._codecs: Mapping[Attempt, Codec] = {}
        self._known: tuple[tuple[str, ...], tuple[str, ...]] | None = None
        self._ahead: tuple[Digesting | None, tuple[str, ...]] | None = None
        self._changing = Lock()
        self._owner = os.getpid()
        self._closed = False
        self._turns = Turns(jobs)
        self._idle: dict[Attempt, list[WorkerLink]] = {each: [] for each in Attempt}

    @property
    def recipe(self) -> tuple[str, ...]:
        """The signal types it attempts, each with its version."""
        return self._loaded()[0]

    @property
    def layers(self) -> Layers:
        """The layers of the sandbox around a decoder: why each is not active, "" if it is.

        Raises WorkerError.
        """
        with self._turns.of(Line.OWN), self._worker(Attempt.PICTURE) as worker:
            return worker.layers

    def handed(self, fd: int) -> Fingerprint:
        """As ``fingerprint``, in the line of what others hand in."""
        return self.fingerprint(fd, Line.HANDED)

    def fingerprint(self, fd: int, line: Line = Line.OWN) -> Fingerprint:
        """Read *fd* to its end in a worker; wait for one if all are busy.

        Raises OSError if the file system refuses (ETIMEDOUT: it does not deliver; EIO: not even
        the digests could be computed), WorkerError if no worker can be started or the pool is
        closed.
        """
        with self._turns.of(line):
            digests, copy = self._digest(fd)
            if copy is None:
                return digests
            try:
                return self._looked_at(digests, copy)
            finally:
                os.close(copy)

    def read_ahead(self) -> ReadAhead | None:
        """Begin a content that is still coming in; the first call waits for the nursery.

        None if an operator's digest is wanted: its code runs in workers only.  Raises WorkerError.
        """
        if self._ahead is None:
            recipe, digests = self._nursery.ready()
            able = {each.name for each in DIGESTS}.issuperset(digests)
            self._ahead = Digesting(self._order.plan) if able else None, recipe
        digesting, recipe = self._ahead
        return ReadAhead(digesting, recipe, self._in_turn) if digesting else None

    def _in_turn(self, digests: Fingerprint, copy: int) -> Fingerprint:
        with self._turns.of(Line.OWN):
            return self._looked_at(digests, copy)

    def _looked_at(self, digests: Fingerprint, copy: int) -> Fingerprint:
        """Add what is seen in a copy of the content."""
        seen = [self._look(each, copy, digests.key) for each in self._looks]
        return replace(
            digests,
            signals=(*digests.signals, *(s for each in seen for s in each.signals)),
            skipped=(*digests.skipped, *(s for each in seen for s in each.skipped)),
            damaged=any(each.damaged for each in seen),
        )

    def _digest(self, fd: int) -> tuple[Fingerprint, int | None]:
        """Have a content read; a worker that somebody killed is no reason to give it up."""
        reply, copy = self._attempt(Attempt.DIGESTS, fd)
        if isinstance(reply, Failed) and reply.reason is Reason.WORKER_DIED:
            os.lseek(fd, 0, os.SEEK_SET)
            reply, copy = self._attempt(Attempt.DIGESTS, fd)
        return read(reply), copy

    def _look(self, attempt: Attempt, copy: int, key: str) -> Seen:
        """Have a copy looked at, unless the content has ended too many workers already."""
        types = self._codec(attempt).types
        guards = attempt is Attempt.PICTURE
        if guards and (reason := self._culprits.barred(key)) is not None:
            return Seen((), tuple(Skip(each, reason, BARRED) for each in types), damaged=False)
        reply, _ = self._attempt(attempt, copy)
        if not isinstance(reply, Seen):
            why = failed(reply)
            skips = tuple(Skip(each, why.reason, why.detail) for each in types)
            reply = Seen((), skips, damaged=False)
        if guards and (blamed := {each.reason for each in reply.skipped} & BLAMED):
            self._culprits.blame(key, min(blamed))
        return reply

    def _attempt(self, attempt: Attempt, fd: int) -> tuple[Reply, int | None]:
        """Have one worker try; the copy is the caller's to close."""
        while True:
            with self._worker(attempt) as worker:
                copy: int | None = None
                try:
                    body, copy = worker.ask(fd)
                    return self._codec(attempt).decode(body), copy
                except (Died, Late, Nonsense) as error:
                    if copy is not None:
                        os.close(copy)
                    status = self._end(worker)
                    if self._closed:
                        raise _closed() from error
                    if worker.took:
                        return blame(error, status), None

    @contextmanager
    def _worker(self, attempt: Attempt) -> Iterator[WorkerLink]:
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
                self._end(worker)

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
            self._end(worker)
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

    def _loaded(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
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
            recipe, digests = self._loaded()
            self._codecs = codecs(self._order.plan, self._types, recipe, digests)
        return self._codecs[attempt]

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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _closed() -> WorkerError:
    return WorkerError("the worker pool is closed", advice="Start the command again.")
