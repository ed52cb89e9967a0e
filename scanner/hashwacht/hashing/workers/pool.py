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

from hashwacht.core.ports import Culprits
from hashwacht.core.signals import DIGESTS
from hashwacht.core.types import Fingerprint, Reason, Skip
from hashwacht.hashing.plan import Plan
from hashwacht.hashing.workers.forkserver_client import Order
from hashwacht.hashing.workers.outcomes import (
    BARRED,
    BLAMED,
    InMemory,
    blame,
    codecs,
    decoder,
    failed,
    read,
    wanted_types,
)
from hashwacht.hashing.workers.protocol import (
    TOGETHER,
    Attempt,
    Codec,
    Failed,
    Nonsense,
    Reply,
    Seen,
)
from hashwacht.hashing.workers.sandbox import Layers, Stamina
from hashwacht.hashing.workers.scheduler import Line, Turns
from hashwacht.hashing.workers.streaming import ReadAhead
from hashwacht.hashing.workers.tasks import Digesting
from hashwacht.hashing.workers.worker_client import Died, Late, WorkerLink
from hashwacht.hashing.workers.worker_registry import Staff

PARTS = "hashwacht.hashing.workers.tasks:part"
"""What makes the parts of a fingerprint in the workers."""

_HUNG = 16
"""Killed workers that may hang in the kernel (a dead file server) before no more are born."""

SMALL = 256 << 10
"""Bytes up to which contents go to a worker several at a time: the others wait for the slowest."""

WARY = 64
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
        self._plan = plan
        self._looks = (Attempt.COMMANDS, Attempt.PICTURE) if plan.commands else (Attempt.PICTURE,)
        self._culprits = culprits or InMemory()
        self._culprits.use(decoder(plan))
        room = len(Attempt) * jobs + _HUNG
        order = Order(plan, maker, room, background, stamina or Stamina())
        self._staff = Staff(order, require_sandbox=require_sandbox)
        self._codecs: Mapping[Attempt, Codec] = {}
        self._ahead: tuple[Digesting | None, tuple[str, ...]] | None = None
        self._turns: Turns[int, Fingerprint] = Turns(jobs, TOGETHER)
        self._wary = 0

    @property
    def recipe(self) -> tuple[str, ...]:
        """The signal types it attempts, each with its version."""
        return self._staff.loaded()[0]

    @property
    def layers(self) -> Layers:
        """The layers of the sandbox around a decoder: why each is not active, "" if it is.

        Raises WorkerError.
        """
        with self._turns.of(Line.OWN), self._staff.lend(Attempt.PICTURE) as worker:
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
        if self._may_go_along(fd):
            for found in self._turns.together(line, fd, self._some):
                return found
            return self._opened_anew(fd, line)
        with self._turns.of(line):
            return self._alone(fd)

    def _opened_anew(self, fd: int, line: Line) -> Fingerprint:
        """Take one alone after its worker was lost, which may still move the offset of *fd*."""
        again = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            with self._turns.of(line):
                return self._alone(again)
        finally:
            os.close(again)

    def _may_go_along(self, fd: int) -> bool:
        if self._wary:
            self._wary = max(0, self._wary - 1)
            return False
        return len(self._looks) == 1 and os.fstat(fd).st_size <= SMALL

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
            self._wary = WARY
            return []
        finally:
            for each in copies.values():
                os.close(each)

    def _together(self, fds: Sequence[int], copies: dict[int, int]) -> list[Fingerprint]:
        """Do it; note the *copies*, to be closed.  Raises _Trouble, OSError, WorkerError."""
        answers = self._ask(Attempt.DIGESTS, fds)
        copies.update((at, copy) for at, (_, copy) in enumerate(answers) if copy is not None)
        found = [reply for reply, _ in answers if isinstance(reply, Fingerprint)]
        if len(found) < len(answers):
            raise _Trouble
        seen = {at: self._barred(found[at].key) for at in copies}
        able = [at for at, barred in seen.items() if barred is None]
        looks = self._ask(Attempt.PICTURE, [copies[at] for at in able])
        for at, (reply, _) in zip(able, looks, strict=True):
            seen[at] = self._seen(Attempt.PICTURE, reply, found[at].key)
        return [
            _with(one, [look]) if (look := seen.get(at)) else one for at, one in enumerate(found)
        ]

    def _ask(self, attempt: Attempt, fds: Sequence[int]) -> list[tuple[Reply, int | None]]:
        """Ask one worker about some contents.  Raises _Trouble, OSError, WorkerError."""
        if not fds:
            return []
        with self._staff.lend(attempt) as worker:
            try:
                return self._answers(worker, fds)
            except (Died, Late, Nonsense) as error:
                self._staff.end(worker)
                self._staff.check_open(error)
                raise _Trouble from error

    def _answers(self, worker: WorkerLink, fds: Sequence[int]) -> list[tuple[Reply, int | None]]:
        """Give the replies, and the copies, which are the caller's to close.

        Raises Died, Late, Nonsense; the worker must then be ended.
        """
        answered = worker.ask(fds)
        try:
            codec = self._codec(worker.attempt)
            return [(codec.decode(body), copy) for body, copy in answered]
        except BaseException:
            for _, copy in answered:
                if copy is not None:
                    os.close(copy)
            raise

    def read_ahead(self) -> ReadAhead | None:
        """Begin a content that is still coming in; the first call waits for the nursery.

        None if an operator's digest is wanted: its code runs in workers only.  Raises WorkerError.
        """
        if self._ahead is None:
            recipe, digests = self._staff.loaded()
            able = {each.name for each in DIGESTS}.issuperset(digests)
            self._ahead = Digesting(self._plan) if able else None, recipe
        digesting, recipe = self._ahead
        return ReadAhead(digesting, recipe, self._in_turn) if digesting else None

    def _in_turn(self, digests: Fingerprint, copy: int) -> Fingerprint:
        with self._turns.of(Line.OWN):
            return self._looked_at(digests, copy)

    def _looked_at(self, digests: Fingerprint, copy: int) -> Fingerprint:
        """Add what is seen in a copy of the content."""
        return _with(digests, [self._look(each, copy, digests.key) for each in self._looks])

    def _digest(self, fd: int) -> tuple[Fingerprint, int | None]:
        """Have a content read; a worker that somebody killed is no reason to give it up."""
        reply, copy = self._attempt(Attempt.DIGESTS, fd)
        if isinstance(reply, Failed) and reply.reason is Reason.WORKER_DIED:
            os.lseek(fd, 0, os.SEEK_SET)
            reply, copy = self._attempt(Attempt.DIGESTS, fd)
        return read(reply), copy

    def _look(self, attempt: Attempt, copy: int, key: str) -> Seen:
        """Have a copy looked at, unless the content has ended too many workers already."""
        if attempt is Attempt.PICTURE and (barred := self._barred(key)) is not None:
            return barred
        reply, _ = self._attempt(attempt, copy)
        return self._seen(attempt, reply, key)

    def _barred(self, key: str) -> Seen | None:
        """Say why a content is not decoded any more, if it is not."""
        reason = self._culprits.barred(key)
        if reason is None:
            return None
        types = self._codec(Attempt.PICTURE).types
        return Seen((), tuple(Skip(each, reason, BARRED) for each in types), damaged=False)

    def _seen(self, attempt: Attempt, reply: Reply, key: str) -> Seen:
        """Take what came of a look; note whom to blame."""
        if not isinstance(reply, Seen):
            why = failed(reply)
            types = self._codec(attempt).types
            skips = tuple(Skip(each, why.reason, why.detail) for each in types)
            reply = Seen((), skips, damaged=False)
        blamed = {each.reason for each in reply.skipped} & BLAMED
        if attempt is Attempt.PICTURE and blamed:
            self._wary = WARY
            self._culprits.blame(key, min(blamed))
        return reply

    def _attempt(self, attempt: Attempt, fd: int) -> tuple[Reply, int | None]:
        """Have one worker try; the copy is the caller's to close."""
        while True:
            with self._staff.lend(attempt) as worker:
                try:
                    return self._answers(worker, [fd])[0]
                except (Died, Late, Nonsense) as error:
                    status = self._staff.end(worker)
                    self._staff.check_open(error)
                    if worker.took:
                        return blame(error, status), None

    def _codec(self, attempt: Attempt) -> Codec:
        """Give what decodes the answers to an attempt; known once the nursery is ready."""
        if not self._codecs:
            recipe, digests = self._staff.loaded()
            self._codecs = codecs(self._plan, self._types, recipe, digests)
        return self._codecs[attempt]

    def close(self) -> None:
        """Kill the workers, whatever they are doing; who waits for one gets a WorkerError."""
        self._staff.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _with(digests: Fingerprint, seen: Sequence[Seen]) -> Fingerprint:
    """Add what was seen in a copy of the content."""
    return replace(
        digests,
        signals=(*digests.signals, *(s for each in seen for s in each.signals)),
        skipped=(*digests.skipped, *(s for each in seen for s in each.skipped)),
        damaged=any(each.damaged for each in seen),
    )
