"""The backend that hands uploads to the daemon: an open descriptor goes there, a verdict returns.

Nothing here decodes, asks a service or reads a credential.  If the daemon is absent, silent or
sends an invalid message, the verdict is UNDETERMINED, and so it is at once during the back-off
that follows.  If the daemon ends during a request, as in a restart, the request is repeated once.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from hashwacht.core.gateway_report import FrontReport
from hashwacht.core.types import Reason, Verdict
from hashwacht.core.upload_context import UploadContext
from hashwacht.ipc.codec import MAX_BODY, ProtocolError
from hashwacht.ipc.sockets import connect
from hashwacht.platform.backoff import ABSENT, UNRESPONSIVE, Backoff, Cooldown
from hashwacht.platform.safe_open import reopen_read_only
from hashwacht.uploads.backend import CheckResult, undetermined_result
from hashwacht.uploads.channel import ConnectionClosed, UploadChannel
from hashwacht.uploads.protocol import (
    AcceptedReply,
    DescribeDaemonReply,
    DescribeDaemonRequest,
    GatewayReportRequest,
    LookupContent,
    PartialUploadsRequest,
    PathCheckRequest,
    PathEndReply,
    PathFileReply,
    SignalsLookupReply,
    SignalsLookupRequest,
    UploadCheckReply,
    UploadCheckRequest,
    UploadFailureReply,
    UploadReply,
    UploadRequest,
    decode_reply,
)
from hashwacht.uploads.wire import WireContext

HEARTBEAT_TIMEOUT = 10.0
"""Seconds until the daemon must have accepted a file: its restart may take that long."""

ANSWER_TIMEOUT = 60.0
"""Seconds for a verdict: a picture has 30, and may have to wait for a worker."""

_RETRY_DELAY = 0.05
"""Seconds between two attempts to connect while the daemon restarts or its queue is full."""


class DaemonUnreachable(Exception):
    """The daemon gave no answer.  *timed_out*: it works, but took too long."""

    def __init__(self, detail: str, *, timed_out: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.timed_out = timed_out


class DaemonBackend:
    """A CheckBackend whose work is done by the daemon that listens at *path*.  Thread-safe."""

    def __init__(
        self,
        path: Path,
        *,
        heartbeat_timeout: float = HEARTBEAT_TIMEOUT,
        answer_timeout: float = ANSWER_TIMEOUT,
    ) -> None:
        self._path = path
        self._heartbeat_timeout = heartbeat_timeout
        self._answer_timeout = answer_timeout
        self._lock = threading.Lock()
        self._cooldown = Cooldown()

    def check(self, fd: int, context: UploadContext | None, *, private: bool) -> CheckResult:
        """Hand *fd* over, for reading only, and return the daemon's verdict."""
        try:
            read_only = _read_only(fd)
        except OSError as error:
            return undetermined_result(Reason.UNREADABLE, error.strerror or "cannot be read")
        wire_context = None if context is None else WireContext.from_context(context)
        try:
            reply = self._request(UploadCheckRequest(private, wire_context), read_only)
        except DaemonUnreachable as error:
            reason = Reason.TIMED_OUT if error.timed_out else Reason.UNANSWERED
            return undetermined_result(reason, error.detail)
        finally:
            os.close(read_only)
        if isinstance(reply, UploadCheckReply):
            return reply.to_result()
        if not isinstance(reply, UploadFailureReply):
            return undetermined_result(Reason.UNANSWERED, "an unexpected reply of the daemon")
        reason = Reason.OVERLOADED if reply.overloaded else Reason.UNANSWERED
        return undetermined_result(reason, f"from the daemon: {reply.problem}")

    def record_partial_upload(self, protocol: str) -> None:
        """Request that the daemon records uploads in parts.  Raises DaemonUnreachable."""
        self._request(PartialUploadsRequest(protocol))

    def describe(self, fronts: Sequence[FrontReport] | None = None) -> DescribeDaemonReply:
        """Return release, limit and state of the daemon.  Raises DaemonUnreachable.

        The gateway reports its *fronts* with it.
        """
        request = DescribeDaemonRequest() if fronts is None else GatewayReportRequest(tuple(fronts))
        reply = self._request(request)
        if not isinstance(reply, DescribeDaemonReply):
            raise DaemonUnreachable("an unexpected reply of the daemon")
        return reply

    def check_path(self, request: PathCheckRequest) -> list[PathFileReply]:
        """Return the files below a path that are reported.  Raises DaemonUnreachable.

        The last one has the path of the request and no verdict if not all files were looked at.
        """
        files: list[PathFileReply] = []
        reply = self._request(request, files=files)
        if not isinstance(reply, PathEndReply):
            raise DaemonUnreachable(_describe(reply))
        if not reply.is_complete:
            files.append(PathFileReply(request.path, "", None))
        return files

    def lookup(self, contents: Sequence[LookupContent]) -> list[Verdict]:
        """Return a verdict on each content.  Raises DaemonUnreachable."""
        reply = self._request(SignalsLookupRequest(tuple(contents)))
        if not isinstance(reply, SignalsLookupReply) or len(reply.verdicts) != len(contents):
            raise DaemonUnreachable(_describe(reply))
        return [verdict.to_verdict() for verdict in reply.verdicts]

    def close(self) -> None:
        """Do nothing: every request has a connection of its own."""

    def _request(
        self,
        request: UploadRequest,
        fd: int | None = None,
        files: list[PathFileReply] | None = None,
    ) -> UploadReply:
        """Return the last reply; repeat the request once if the daemon ends during it.

        *files* receives what is reported before the last reply.
        """
        with self._lock:
            if self._cooldown.active:
                raise DaemonUnreachable(self._cooldown.reason)
        with suppress(ConnectionClosed):
            return self._attempt(request, fd, files, restarting=False)
        try:
            return self._attempt(request, fd, files, restarting=True)
        except ConnectionClosed as error:
            raise self._back_off(f"the daemon: {error}", ABSENT) from None

    def _attempt(
        self,
        request: UploadRequest,
        fd: int | None,
        files: list[PathFileReply] | None,
        *,
        restarting: bool,
    ) -> UploadReply:
        """Return the last reply.  Raises DaemonUnreachable, ConnectionClosed."""
        accepted = False
        if files is not None:
            files.clear()
        with self._connected(restarting=restarting) as channel:
            try:
                with suppress(ConnectionClosed):  # a refusal may already wait to be read
                    channel.send(request, self._heartbeat_timeout, fd)
                reply = decode_reply(channel.receive(self._heartbeat_timeout))
                with self._lock:
                    self._cooldown.reset()
                if isinstance(reply, AcceptedReply) and (fd is not None or files is not None):
                    accepted = True
                    reply = decode_reply(channel.receive(self._answer_timeout))
                while files is not None and isinstance(reply, PathFileReply):
                    files.append(reply)
                    reply = decode_reply(channel.receive(self._answer_timeout))
            except TimeoutError:
                if accepted:
                    detail = f"no verdict of the daemon within {self._answer_timeout:g} s"
                    raise DaemonUnreachable(detail, timed_out=True) from None
                raise self._back_off("the daemon does not answer", UNRESPONSIVE) from None
            except ProtocolError as error:
                detail = f"an invalid reply of the daemon: {error}"
                raise self._back_off(detail, UNRESPONSIVE) from None
        return reply

    @contextmanager
    def _connected(self, *, restarting: bool) -> Iterator[UploadChannel]:
        """Open a connection; wait for a daemon that is *restarting*.  Raises DaemonUnreachable."""
        deadline = time.monotonic() + self._heartbeat_timeout
        while True:
            try:
                connected = connect(self._path, self._heartbeat_timeout)
                break
            except OSError as error:
                retryable = restarting or error.errno == errno.EAGAIN  # its queue is full
                if not retryable or time.monotonic() > deadline:
                    detail = f"the daemon is out of reach: {error.strerror or error}"
                    raise self._back_off(detail, ABSENT) from None
                time.sleep(_RETRY_DELAY)
        channel = UploadChannel(connected, MAX_BODY)
        try:
            yield channel
        finally:
            channel.close()

    def _back_off(self, reason: str, backoff: Backoff) -> DaemonUnreachable:
        with self._lock:
            self._cooldown.start(reason, backoff)
        return DaemonUnreachable(reason)


def _describe(reply: UploadReply) -> str:
    if isinstance(reply, UploadFailureReply):
        return f"from the daemon: {reply.problem}"
    return "an unexpected reply of the daemon"


def _read_only(fd: int) -> int:
    """Return a descriptor of the same file that cannot be written through.  Raises OSError."""
    mode: int = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE
    return os.dup(fd) if mode == os.O_RDONLY else reopen_read_only(fd)
