"""The workplace that is the daemon: an open descriptor goes to it, its verdict comes back.

Nothing here decodes, asks a service or reads a credential.  A daemon that is not there, says
nothing or nonsense is told as UNDETERMINED, and is not asked again for a moment: then that is told
at once.  One that ends under way, as in a restart, is asked once more.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hashwacht.core.types import Reason
from hashwacht.core.upload_context import Circumstances
from hashwacht.ipc.frames import MAX_BODY, Nonsense
from hashwacht.ipc.sockets import connect
from hashwacht.platform.backoff import ABSENT, HUNG, Pauses
from hashwacht.uploads.backend import Checked, undetermined
from hashwacht.uploads.exchange import Exchange, HungUp, reopened
from hashwacht.uploads.protocol import (
    Check,
    Describe,
    Described,
    Failed,
    Partial,
    Reply,
    Request,
    Taken,
    decode_reply,
    encode_request,
)

SILENCE = 10.0
"""Seconds until the daemon has said that it took a file: so long may its restart last."""

PATIENCE = 60.0
"""Seconds for a verdict: the budget of a picture is 30, and it may have to wait its turn."""

_AGAIN = 0.05
"""Seconds between two attempts to connect while the daemon is restarted or its queue is full."""


class Unreached(Exception):
    """The daemon gave no answer.  *slow*: it lives, and did not come to it in time."""

    def __init__(self, detail: str, *, slow: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.slow = slow


class ByDaemon:
    """A Workplace whose work is done by the daemon that listens at *path*.  Thread-safe."""

    def __init__(self, path: Path, *, silence: float = SILENCE, patience: float = PATIENCE) -> None:
        """Connect to nothing yet; *silence* and *patience* in seconds, as SILENCE and PATIENCE."""
        self._path, self._silence, self._patience = path, silence, patience
        self._lock = threading.Lock()
        self._pauses = Pauses()

    def check(self, fd: int, told: Circumstances | None, *, private: bool) -> Checked:
        """Hand *fd* over, read-only, and give what the daemon says."""
        try:
            handed = _for_reading(fd)
        except OSError as error:
            return undetermined(Reason.UNREADABLE, error.strerror or "cannot be read")
        try:
            reply = self._ask(Check(private, told), handed)
        except Unreached as error:
            reason = Reason.TIMED_OUT if error.slow else Reason.UNANSWERED
            return undetermined(reason, error.detail)
        finally:
            os.close(handed)
        if isinstance(reply, Checked):
            return reply
        problem = reply.problem if isinstance(reply, Failed) else "it answers something else"
        return undetermined(Reason.UNANSWERED, f"the daemon says: {problem}")

    def note_partial(self, protocol: str) -> None:
        """Have it noted that files come in parts by *protocol*.  Raises Unreached."""
        self._ask(Partial(protocol))

    def describe(self) -> Described:
        """Ask the daemon who it is.  Raises Unreached."""
        reply = self._ask(Describe())
        if not isinstance(reply, Described):
            raise Unreached("it answers something else")
        return reply

    def close(self) -> None:
        """Have nothing to give back: every question has a connection of its own."""

    def _ask(self, request: Request, fd: int | None = None) -> Reply:
        """Ask; once more if the daemon ends under way.  Raises Unreached."""
        with self._lock:
            if self._pauses.now:
                raise Unreached(self._pauses.why)
        body = encode_request(request)
        try:
            return self._answer(body, fd, patient=False)
        except HungUp:
            try:
                return self._answer(body, fd, patient=True)
            except HungUp as error:
                raise self._unreached(f"the daemon broke off: {error}", ABSENT) from None

    def _answer(self, body: bytes, fd: int | None, *, patient: bool) -> Reply:
        """Ask on a connection of its own.  Raises Unreached, HungUp."""
        with self._connected(patient=patient) as exchange:
            try:
                with suppress(HungUp):  # it may have said why before it went: we read that
                    exchange.send(body, self._silence, fd)
                first = decode_reply(exchange.receive(self._silence, MAX_BODY))
            except TimeoutError:
                raise self._unreached("the daemon says nothing", HUNG) from None
            except Nonsense as error:
                raise self._unreached(f"the daemon says nonsense: {error}", HUNG) from None
            with self._lock:
                self._pauses.end()
            if fd is None or not isinstance(first, Taken):
                return first
            try:
                return decode_reply(exchange.receive(self._patience, MAX_BODY))
            except TimeoutError:
                detail = f"no verdict of the daemon within {self._patience:g} s"
                raise Unreached(detail, slow=True) from None
            except Nonsense as error:
                raise self._unreached(f"the daemon says nonsense: {error}", HUNG) from None

    @contextmanager
    def _connected(self, *, patient: bool) -> Iterator[Exchange]:
        """Give a connection; *patient*: it was there a moment ago.  Raises Unreached."""
        until = time.monotonic() + self._silence
        while True:
            try:
                exchange = Exchange(connect(self._path, self._silence))
                break
            except OSError as error:
                waits = patient or error.errno == errno.EAGAIN  # its queue is full
                if not waits or time.monotonic() > until:
                    reason = error.strerror or str(error)
                    raise self._unreached(f"the daemon is out of reach: {reason}", ABSENT) from None
                time.sleep(_AGAIN)
        try:
            yield exchange
        finally:
            exchange.close()

    def _unreached(self, why: str, pauses: tuple[float, float]) -> Unreached:
        """Ask nothing for a while."""
        with self._lock:
            self._pauses.begin(why, pauses)
        return Unreached(why)


def _for_reading(fd: int) -> int:
    """Give a descriptor of the same file through which nobody can write.  Raises OSError."""
    mode: int = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE
    return os.dup(fd) if mode == os.O_RDONLY else reopened(fd)
