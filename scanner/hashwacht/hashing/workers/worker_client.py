"""The scanner's end of one worker: send it an open file, wait as long as it makes progress."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Sequence

from hashwacht.core.errors import WorkerError
from hashwacht.hashing.workers.protocol import (
    ANSWER,
    EXITING,
    HAS_COPY,
    MAX_ANSWER,
    MAX_BATCH,
    REQUEST,
    WorkerKind,
)
from hashwacht.hashing.workers.worker import WORKER_READY
from hashwacht.platform.process import SandboxLayers

GRACE = 0.5
"""Seconds beyond the budget before a worker is killed, so that its own limits come first."""

_PIECE = 64 << 10
_LONGEST_TICK = 1.0
_LONGEST_BIRTH = 30.0


RawAnswer = tuple[bytes, int | None]
"""The body of an answer, and the copy of the content if one came with it."""


class WorkerDied(Exception):
    """The worker is gone, or what it sends makes no sense; *detail* says which."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail


class WorkerTimeout(Exception):
    """The worker made no progress for longer than the budget allows."""


class WorkerClient:
    """One worker process, used by one thread at a time."""

    def __init__(
        self, pid: int, link: socket.socket, seconds: float, worker_kind: WorkerKind
    ) -> None:
        """*seconds* is the budget of one content; what it is born for is *attempt*."""
        self.pid = pid
        self.worker_kind = worker_kind
        self.layers: SandboxLayers = {}
        """Known once it is confined."""
        self.exited = False
        """True if it has ended by its own decision, after its last answer."""
        self.accepted = True
        """False if it was gone before it could take the last content: that bears no blame."""
        self.reaped = False
        self._link = link
        self._seconds = seconds + GRACE
        self._number = 1

    def wait_ready(self) -> None:
        """Call this first.  Raises WorkerError if it cannot be confined."""
        self._link.settimeout(_LONGEST_BIRTH)
        try:
            said = self._link.recv(_PIECE)
        except (TimeoutError, ConnectionError) as error:
            said = str(error).encode()
        if not said.startswith(WORKER_READY):
            raise WorkerError(
                f"a worker process cannot be confined: {said.decode(errors='replace')}",
                advice="Look at the limits of this service or shell (ulimit -a).",
            )
        self.layers = json.loads(said[len(WORKER_READY) :])
        self._link.settimeout(min(_LONGEST_TICK, self._seconds / 4))

    def request(self, fds: Sequence[int]) -> list[RawAnswer]:
        """Have up to TOGETHER contents worked on; of several, none may take long.

        The caller closes the copies that come back.  Raises Died or Late; the worker must then be
        killed.
        """
        first, self._number = self._number, (self._number + len(fds)) & 0xFFFFFFFF
        try:
            socket.send_fds(self._link, [REQUEST.pack(first)], fds)
        except ConnectionError as error:
            self.accepted = first == 1  # one that has never served is given no second chance
            raise WorkerDied from error
        reads = self.worker_kind is WorkerKind.DIGESTS
        patience = _Patience(fds[0] if reads and len(fds) == 1 else None, self._seconds)
        copies: list[int] = []
        try:
            received = bytearray(self._piece(copies))
            while (answers := split_answers(received, first, len(fds))) is None:
                patience.check()
                received += self._piece(copies)
            return self._answered(answers, copies)
        except BaseException:
            for each in copies:
                os.close(each)
            raise

    def _answered(
        self, answers: Sequence[tuple[int, bytes]], copies: Sequence[int]
    ) -> list[RawAnswer]:
        """Put copies to their answers.  Raises Died if they are not as many as it says."""
        if len(copies) != sum(bool(flags & HAS_COPY) for flags, _ in answers):
            raise WorkerDied("it answered what was not asked")
        self.exited = any(flags & EXITING for flags, _ in answers)
        left = iter(copies)
        return [(body, next(left) if flags & HAS_COPY else None) for flags, body in answers]

    def _piece(self, copies: list[int]) -> bytes:
        """Receive what has come, nothing after a tick of waiting.  Raises Died.

        Descriptors are taken, once, from a worker that digests; the kernel drops all others.
        """
        takes = self.worker_kind is WorkerKind.DIGESTS and not copies
        try:
            if takes:
                piece, found, _, _ = socket.recv_fds(
                    self._link, _PIECE, MAX_BATCH, socket.MSG_CMSG_CLOEXEC
                )
                copies += found
            else:
                piece = self._link.recv(_PIECE)
        except TimeoutError:
            return b""
        except ConnectionError as error:
            raise WorkerDied from error
        if not piece:
            raise WorkerDied
        return piece

    def wait_closed(self) -> bool:
        """Wait for a killed worker's end of the socket to close: then it reads no file any more."""
        deadline = time.monotonic() + _LONGEST_TICK
        try:
            while time.monotonic() < deadline:
                if not self._link.recv(_PIECE):
                    return True
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        return False

    def close(self) -> None:
        """Close our end.  A worker that still waits for requests ends by itself."""
        self._link.close()


def split_answers(received: bytearray, number: int, count: int) -> list[tuple[int, bytes]] | None:
    """Give flags and body of exactly *count* answers; None if more has to come.

    Raises Died on whatever else it is.
    """
    answers: list[tuple[int, bytes]] = []
    at = 0
    while len(answers) < count:
        if len(received) - at < ANSWER.size:
            return None
        length, said, flags = ANSWER.unpack_from(received, at)
        if said != (number + len(answers)) & 0xFFFFFFFF or length > MAX_ANSWER:
            raise WorkerDied("it answered what was not asked")
        at += ANSWER.size
        answers.append((flags, bytes(received[at : at + length])))
        at += length
    if len(received) > at:
        raise WorkerDied("it answered what was not asked")
    return answers if len(received) == at else None


class _Patience:
    """How long to wait: while the reading goes on, as long as it takes; then *seconds*.

    The worker that digests reads through the very open file that we handed it, so its offset
    tells us how far it is.  A long video on a slow disk at idle priority is not late; a server
    that does not deliver is.  A decoder reads nothing, and could move an offset for ever.
    """

    def __init__(self, fd: int | None, seconds: float) -> None:
        self._fd = fd
        self._seconds = seconds
        self._seen = 0
        self._since = time.monotonic()

    def check(self) -> None:
        """Raise Late if nothing was read for too long."""
        offset = 0 if self._fd is None else os.lseek(self._fd, 0, os.SEEK_CUR)
        now = time.monotonic()
        if offset > self._seen:
            self._seen, self._since = offset, now
        elif now - self._since > self._seconds:
            raise WorkerTimeout
