"""The scanner's end of one worker: send it an open file, wait as long as it makes progress."""

from __future__ import annotations

import json
import os
import socket
import time

from hashwacht.errors import WorkerError
from hashwacht.fingerprint.confine import Layers
from hashwacht.fingerprint.wire import ANSWER, MAX_ANSWER, REQUEST, Attempt
from hashwacht.fingerprint.worker import BORN

GRACE = 0.5
"""Seconds beyond the budget before a worker is killed, so that its own limits come first."""

_PIECE = 64 << 10
_LONGEST_TICK = 1.0
_LONGEST_BIRTH = 30.0


class Died(Exception):
    """The worker is gone, or what it sends makes no sense; *detail* says which."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail


class Late(Exception):
    """The worker made no progress for longer than the budget allows."""


class WorkerLink:
    """One worker process, used by one thread at a time."""

    def __init__(self, pid: int, link: socket.socket, seconds: float, attempt: Attempt) -> None:
        """*seconds* is the budget of one content; what it is born for is *attempt*."""
        self.pid = pid
        self.attempt = attempt
        self.layers: Layers = {}
        """Known once it is confined."""
        self.over = False
        """True if it has ended by its own decision, after its last answer."""
        self.took = True
        """False if it was gone before it could take the last content: that bears no blame."""
        self.buried = False
        self._link = link
        self._seconds = seconds + GRACE
        self._number = 0

    def wait_until_confined(self) -> None:
        """Call this first.  Raises WorkerError if it cannot be confined."""
        self._link.settimeout(_LONGEST_BIRTH)
        try:
            said = self._link.recv(_PIECE)
        except (TimeoutError, ConnectionError) as error:
            said = str(error).encode()
        if not said.startswith(BORN):
            raise WorkerError(
                f"a worker process cannot be confined: {said.decode(errors='replace')}",
                advice="Look at the limits of this service or shell (ulimit -a).",
            )
        self.layers = json.loads(said[len(BORN) :])
        self._link.settimeout(min(_LONGEST_TICK, self._seconds / 4))

    def ask(self, fd: int) -> tuple[bytes, int | None]:
        """Have *fd* worked on; give the answer's body, and the copy that the caller must close.

        Raises Died or Late; the worker must then be killed.
        """
        self._number = (self._number + 1) & 0xFFFFFFFF
        try:
            socket.send_fds(self._link, [REQUEST.pack(self._number)], [fd])
        except ConnectionError as error:
            self.took = self._number == 1  # one that has never served is given no second chance
            raise Died from error
        patience = _Patience(fd if self.attempt is Attempt.DIGESTS else None, self._seconds)
        copies: list[int] = []
        try:
            received = bytearray(self._piece(copies))
            while not self._complete(received):
                patience.check()
                received += self._piece(copies)
        except BaseException:
            for each in copies:
                os.close(each)
            raise
        self.over = bool(ANSWER.unpack_from(received)[2])
        return bytes(received[ANSWER.size :]), copies.pop() if copies else None

    def _piece(self, copies: list[int]) -> bytes:
        """Receive what has come, nothing after a tick of waiting.  Raises Died.

        Descriptors are taken, once, from a worker that digests; the kernel drops all others.
        """
        takes = self.attempt is Attempt.DIGESTS and not copies
        try:
            if takes:
                piece, found, _, _ = socket.recv_fds(self._link, _PIECE, 1, socket.MSG_CMSG_CLOEXEC)
                copies += found
            else:
                piece = self._link.recv(_PIECE)
        except TimeoutError:
            return b""
        except ConnectionError as error:
            raise Died from error
        if not piece:
            raise Died
        return piece

    def _complete(self, received: bytearray) -> bool:
        """Tell if exactly one answer to the present request is there.  Raises Died on more."""
        if len(received) < ANSWER.size:
            return False
        length, number, _ = ANSWER.unpack_from(received)
        surplus: int = len(received) - ANSWER.size - length
        if number != self._number or length > MAX_ANSWER or surplus > 0:
            raise Died("it answered what was not asked")
        return surplus == 0

    def gone(self) -> bool:
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
            raise Late
