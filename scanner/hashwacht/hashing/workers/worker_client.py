"""The scanner's end of one worker: sends open files, waits as long as the worker makes progress."""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

from hashwacht.core.errors import WorkerError
from hashwacht.hashing.workers.protocol import (
    ANSWER,
    EXITING,
    MAX_BATCH,
    REQUEST,
    WorkerKind,
    max_answer,
)
from hashwacht.hashing.workers.worker import WORKER_READY
from hashwacht.ipc.codec import MessageDecoder
from hashwacht.platform.process import SandboxLayers

GRACE = 0.5
"""Seconds beyond the budget before a worker is killed, so that its own limits apply first."""

_RECEIVE_BYTES = 64 << 10
_MAX_TICK = 1.0
_MAX_START = 30.0

_SEND_FILES = frozenset({WorkerKind.DIGESTS, WorkerKind.ARCHIVE})
"""The kinds of workers that send descriptors."""

_UNEXPECTED = "it sent an unexpected answer"


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """The body of an answer, not decoded yet, and a copy (or None) of each content."""

    body: bytes
    copies: list[int | None]

    def close(self) -> None:
        """Close the copies."""
        for copy in self.copies:
            if copy is not None:
                os.close(copy)


class WorkerDied(Exception):
    """The worker has ended, or sends invalid answers; *detail* says which."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail


class WorkerTimeout(Exception):
    """The worker made no progress for longer than the budget allows."""


class ReadTimeExceeded(WorkerTimeout):
    """Reading the content took longer than it may, although it made progress."""


class WorkerClient:
    """One worker process, used by one thread at a time."""

    def __init__(
        self, pid: int, link: socket.socket, seconds: float, worker_kind: WorkerKind
    ) -> None:
        """*seconds* is the time budget of one content."""
        self.pid = pid
        self.worker_kind = worker_kind
        self.layers: SandboxLayers = {}
        """Known after ``wait_ready``."""
        self.exited = False
        """True if the worker has ended as planned, after its last answer."""
        self.accepted = True
        """False if it had ended before the last request arrived, which then is not the cause."""
        self.reaped = False
        self._link, self._seconds = link, seconds + GRACE
        self._number = 1

    def wait_ready(self) -> None:
        """Wait for the sandbox; to be called first.  Raises WorkerError if it is impossible."""
        self._link.settimeout(_MAX_START)
        try:
            message = self._link.recv(_RECEIVE_BYTES)
        except (TimeoutError, ConnectionError) as error:
            message = str(error).encode()
        if not message.startswith(WORKER_READY):
            raise WorkerError(
                f"a worker process cannot be confined: {message.decode(errors='replace')}",
                advice="Check the resource limits of this service or shell (ulimit -a).",
            )
        decoder = MessageDecoder[dict[str, str]](dict[str, str])
        self.layers = decoder.decode(message[len(WORKER_READY) :])
        self._link.settimeout(min(_MAX_TICK, self._seconds / 4))

    def request(
        self, fds: Sequence[int], max_read_time: float = math.inf, seconds: float | None = None
    ) -> RawAnswer:
        """Send up to MAX_BATCH open contents; return their answer.

        Several contents share the time budget of one; *seconds* may shorten it.  The caller must
        close the copies.  Raises WorkerDied or WorkerTimeout, ReadTimeExceeded after
        *max_read_time* seconds; the worker must then be killed.
        """
        number = self._send(fds)
        reads = self.worker_kind is WorkerKind.DIGESTS
        watched = fds[0] if reads and len(fds) == 1 else None
        budget = min(seconds or self._seconds, self._seconds)
        return self._wait(number, len(fds), _ProgressTimer(watched, budget, max_read_time))

    def pull(self, fd: int | None) -> RawAnswer:
        """Open the archive *fd*, or go on with the open one; return the next answer about it.

        Raises WorkerDied or WorkerTimeout; the worker must then be killed.
        """
        number = self._send([] if fd is None else [fd])
        return self._wait(number, 1, _ProgressTimer(None, self._seconds, math.inf))

    def _send(self, fds: Sequence[int]) -> int:
        """Send a request and return its number.  Raises WorkerDied."""
        number, self._number = self._number, (self._number + 1) & 0xFFFFFFFF
        try:
            socket.send_fds(self._link, [REQUEST.pack(number)], fds)
        except ConnectionError as error:
            # Not replaced: one that fails its first request, or in the middle of an archive.
            self.accepted = number == 1 or not fds
            raise WorkerDied from error
        return number

    def _wait(self, number: int, count: int, progress: _ProgressTimer) -> RawAnswer:
        """Return the answer to a request for *count* contents."""
        copies: list[int] = []
        try:
            received = bytearray(self._receive(copies))
            while not answer_complete(received, number, count):
                progress.check()
                received += self._receive(copies)
            return self._answer(received, copies, count)
        except BaseException:
            for copy in copies:
                os.close(copy)
            raise

    def _answer(self, received: bytearray, copies: Sequence[int], count: int) -> RawAnswer:
        """Assign the copies to their contents.  Raises WorkerDied if their number differs."""
        _, _, flags, copied = ANSWER.unpack_from(received)
        if copied >> count or copied.bit_count() != len(copies):
            raise WorkerDied(_UNEXPECTED)
        self.exited = bool(flags & EXITING)
        left = iter(copies)
        assigned = [next(left) if copied >> at & 1 else None for at in range(count)]
        return RawAnswer(bytes(received[ANSWER.size :]), assigned)

    def _receive(self, copies: list[int]) -> bytes:
        """Return what has arrived, nothing after a tick without bytes.  Raises WorkerDied.

        Descriptors are accepted, once, from a worker that digests or reads archives; the kernel
        drops all others.
        """
        try:
            if self.worker_kind in _SEND_FILES and not copies:
                received, fds, _, _ = socket.recv_fds(
                    self._link, _RECEIVE_BYTES, MAX_BATCH, socket.MSG_CMSG_CLOEXEC
                )
                copies += fds
            else:
                received = self._link.recv(_RECEIVE_BYTES)
        except TimeoutError:
            return b""
        except ConnectionError as error:
            raise WorkerDied from error
        if not received:
            raise WorkerDied
        return received

    def wait_closed(self) -> bool:
        """Return whether a killed worker's end of the socket closes: it then reads no file."""
        deadline = time.monotonic() + _MAX_TICK
        try:
            while time.monotonic() < deadline:
                if not self._link.recv(_RECEIVE_BYTES):
                    return True
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        return False

    def close(self) -> None:
        """Close this end; an idle worker then ends."""
        self._link.close()


def answer_complete(received: bytearray, number: int, count: int) -> bool:
    """Return whether *received* is the answer to a request for *count* contents.

    Raises WorkerDied if it cannot become that.
    """
    if len(received) < ANSWER.size:
        return False
    length, answered, _, _ = ANSWER.unpack_from(received)
    missing: int = ANSWER.size + length - len(received)
    if answered != number or length > max_answer(count) or missing < 0:
        raise WorkerDied(_UNEXPECTED)
    return missing == 0


class _ProgressTimer:
    """Limits the time without progress: while a worker reads, its time starts over.

    The worker that digests reads through the same open file as the scanner holds, so the file
    offset shows its progress.  A long video on a slow disk at idle priority is not late; a server
    that does not respond is.  A decoder is timed without an offset: it reads nothing, and could
    move an offset for ever.
    """

    def __init__(self, fd: int | None, seconds: float, max_read_time: float) -> None:
        self._fd = fd
        self._deadline = time.monotonic() + max_read_time
        self._seconds = seconds
        self._offset = 0
        self._since = time.monotonic()

    def check(self) -> None:
        offset = 0 if self._fd is None else os.lseek(self._fd, 0, os.SEEK_CUR)
        now = time.monotonic()
        if now > self._deadline:
            raise ReadTimeExceeded
        if offset > self._offset:
            self._offset, self._since = offset, now
        elif now - self._since > self._seconds:
            raise WorkerTimeout
