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
from hashwacht.core.upload_context import UploadContext
from hashwacht.ipc.frames import MAX_BODY, ProtocolError
from hashwacht.ipc.sockets import connect
from hashwacht.platform.backoff import ABSENT_DELAYS, UNRESPONSIVE_DELAYS, Backoff
from hashwacht.uploads.backend import CheckResult, undetermined_result
from hashwacht.uploads.exchange import ConnectionClosed, UploadChannel, reopen_read_only
from hashwacht.uploads.protocol import (
    AcceptedReply,
    DescribeDaemonReply,
    DescribeDaemonRequest,
    PartialUploadsRequest,
    UploadCheckRequest,
    UploadFailureReply,
    UploadReply,
    UploadRequest,
    decode_reply,
    encode_request,
)

HEARTBEAT_TIMEOUT = 10.0
"""Seconds until the daemon has said that it took a file: so long may its restart last."""

ANSWER_TIMEOUT = 60.0
"""Seconds for a verdict: the budget of a picture is 30, and it may have to wait its turn."""

_AGAIN = 0.05
"""Seconds between two attempts to connect while the daemon is restarted or its queue is full."""


class DaemonUnreachable(Exception):
    """The daemon gave no answer.  *slow*: it lives, and did not come to it in time."""

    def __init__(self, detail: str, *, timed_out: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.timed_out = timed_out


class DaemonBackend:
    """A Workplace whose work is done by the daemon that listens at *path*.  Thread-safe."""

    def __init__(
        self,
        path: Path,
        *,
        heartbeat_timeout: float = HEARTBEAT_TIMEOUT,
        answer_timeout: float = ANSWER_TIMEOUT,
    ) -> None:
        """Connect to nothing yet; *silence* and *patience* in seconds, as SILENCE and PATIENCE."""
        self._path, self._heartbeat_timeout, self._answer_timeout = (
            path,
            heartbeat_timeout,
            answer_timeout,
        )
        self._lock = threading.Lock()
        self._backoff = Backoff()

    def check(self, fd: int, context: UploadContext | None, *, private: bool) -> CheckResult:
        """Hand *fd* over, read-only, and give what the daemon says."""
        try:
            handed = _for_reading(fd)
        except OSError as error:
            return undetermined_result(Reason.UNREADABLE, error.strerror or "cannot be read")
        try:
            reply = self._ask(UploadCheckRequest(private, context), handed)
        except DaemonUnreachable as error:
            reason = Reason.TIMED_OUT if error.timed_out else Reason.UNANSWERED
            return undetermined_result(reason, error.detail)
        finally:
            os.close(handed)
        if isinstance(reply, CheckResult):
            return reply
        problem = (
            reply.problem if isinstance(reply, UploadFailureReply) else "it answers something else"
        )
        return undetermined_result(Reason.UNANSWERED, f"the daemon says: {problem}")

    def record_partial_upload(self, protocol: str) -> None:
        """Have it noted that files come in parts by *protocol*.  Raises Unreached."""
        self._ask(PartialUploadsRequest(protocol))

    def describe(self) -> DescribeDaemonReply:
        """Ask the daemon who it is.  Raises Unreached."""
        reply = self._ask(DescribeDaemonRequest())
        if not isinstance(reply, DescribeDaemonReply):
            raise DaemonUnreachable("it answers something else")
        return reply

    def close(self) -> None:
        """Have nothing to give back: every question has a connection of its own."""

    def _ask(self, request: UploadRequest, fd: int | None = None) -> UploadReply:
        """Ask; once more if the daemon ends under way.  Raises Unreached."""
        with self._lock:
            if self._backoff.active:
                raise DaemonUnreachable(self._backoff.reason)
        body = encode_request(request)
        try:
            return self._answer(body, fd, patient=False)
        except ConnectionClosed:
            try:
                return self._answer(body, fd, patient=True)
            except ConnectionClosed as error:
                raise self._unreached(f"the daemon broke off: {error}", ABSENT_DELAYS) from None

    def _answer(self, body: bytes, fd: int | None, *, patient: bool) -> UploadReply:
        """Ask on a connection of its own.  Raises Unreached, ConnectionClosed."""
        with self._connected(patient=patient) as exchange:
            try:
                with suppress(
                    ConnectionClosed
                ):  # it may have said why before it went: we read that
                    exchange.send(body, self._heartbeat_timeout, fd)
                first = decode_reply(exchange.receive(self._heartbeat_timeout, MAX_BODY))
            except TimeoutError:
                raise self._unreached("the daemon says nothing", UNRESPONSIVE_DELAYS) from None
            except ProtocolError as error:
                raise self._unreached(
                    f"the daemon says nonsense: {error}", UNRESPONSIVE_DELAYS
                ) from None
            with self._lock:
                self._backoff.reset()
            if fd is None or not isinstance(first, AcceptedReply):
                return first
            try:
                return decode_reply(exchange.receive(self._answer_timeout, MAX_BODY))
            except TimeoutError:
                detail = f"no verdict of the daemon within {self._answer_timeout:g} s"
                raise DaemonUnreachable(detail, timed_out=True) from None
            except ProtocolError as error:
                raise self._unreached(
                    f"the daemon says nonsense: {error}", UNRESPONSIVE_DELAYS
                ) from None

    @contextmanager
    def _connected(self, *, patient: bool) -> Iterator[UploadChannel]:
        """Give a connection; *patient*: it was there a moment ago.  Raises Unreached."""
        until = time.monotonic() + self._heartbeat_timeout
        while True:
            try:
                exchange = UploadChannel(connect(self._path, self._heartbeat_timeout))
                break
            except OSError as error:
                waits = patient or error.errno == errno.EAGAIN  # its queue is full
                if not waits or time.monotonic() > until:
                    reason = error.strerror or str(error)
                    raise self._unreached(
                        f"the daemon is out of reach: {reason}", ABSENT_DELAYS
                    ) from None
                time.sleep(_AGAIN)
        try:
            yield exchange
        finally:
            exchange.close()

    def _unreached(self, why: str, pauses: tuple[float, float]) -> DaemonUnreachable:
        """Ask nothing for a while."""
        with self._lock:
            self._backoff.start(why, pauses)
        return DaemonUnreachable(why)


def _for_reading(fd: int) -> int:
    """Give a descriptor of the same file through which nobody can write.  Raises OSError."""
    mode: int = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE
    return os.dup(fd) if mode == os.O_RDONLY else reopen_read_only(fd)
