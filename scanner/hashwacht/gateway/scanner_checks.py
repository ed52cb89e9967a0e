"""Checks by the scanner, over the same socket as the uploads of web applications.

Contents are spooled here and handed over as descriptors; threads wait for the verdicts.  Each
client has at most the share of them that it leaves free.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from hashwacht.core.gateway_report import FrontReport
from hashwacht.core.types import Reason, Verdict
from hashwacht.core.upload_context import UploadContext, client_of
from hashwacht.gateway.check_counters import CheckCounters
from hashwacht.gateway.checks import Answer, ContentStream, HashedContent, PathAnswer
from hashwacht.gateway.peers import Peer
from hashwacht.uploads.backend import CheckBackend, CheckResult, undetermined_result
from hashwacht.uploads.executor import CheckExecutor, CheckTask, UploadStream
from hashwacht.uploads.fair_share import FairShare
from hashwacht.uploads.protocol import (
    MAX_LOOKUPS,
    MAX_PATH_TIME,
    LookupContent,
    PathCheckRequest,
    PathFileReply,
)
from hashwacht.uploads.remote import DaemonBackend, DaemonUnreachable
from hashwacht.uploads.wire import to_wire_signal

T = TypeVar("T")

OTHER_REQUESTS = 8
"""Requests under way that are not about one content: paths, lookups."""

MAX_PATH = 4096
"""Bytes of a path, as PATH_MAX."""

MAX_MEMORY = 256 << 10
"""Bytes of a content that are kept in memory while it arrives."""

CONCURRENT_CHECKS, MAX_PENDING = 64, 1024
"""Checks under way, fewer than the scanner admits of one user, and those that wait for a thread."""

STATE_INTERVAL = 0.5
"""Seconds for which the scanner is not asked for its state again."""


@dataclass(frozen=True, slots=True)
class ScannerState:
    """What the scanner reported at *at* (monotonic time)."""

    able: bool = False
    revision: int = 0
    problem: str = "the scanner has not answered yet"
    at: float = float("-inf")


class ScannerConnection:
    """The way to the scanner that all servers of the gateway share."""

    def __init__(self, socket: Path, spool: Path | None, timeout: float) -> None:
        """*timeout* is the longest time, in seconds, that a server waits for an answer."""
        self.backend = DaemonBackend(socket, answer_timeout=timeout)
        self.executor = CheckExecutor(lambda: self.backend, CONCURRENT_CHECKS, MAX_PENDING)
        self.spool = spool
        self._others = ThreadPoolExecutor(OTHER_REQUESTS, thread_name_prefix="gateway-request")
        self._share = FairShare(MAX_PENDING)
        self._state, self._asking = ScannerState(), asyncio.Lock()
        self.fronts: Callable[[], Sequence[FrontReport]] = tuple

    async def state(self) -> ScannerState:
        """Return the state of the scanner, half a second old at most."""
        async with self._asking:
            if time.monotonic() - self._state.at > STATE_INTERVAL:
                self._state = await asyncio.to_thread(self._ask, self.fronts())
            return self._state

    def _ask(self, fronts: Sequence[FrontReport]) -> ScannerState:
        try:
            reply = self.backend.describe(fronts)
        except DaemonUnreachable as error:
            revision = self._state.revision
            return ScannerState(False, revision, error.detail, time.monotonic())
        able, at = not reply.problem, time.monotonic()
        return ScannerState(able, reply.revision, reply.problem, at)

    async def request(self, client: str, ask: Callable[[DaemonBackend], T], seconds: float) -> T:
        """Return what *ask* returns, called in a thread.  Raises DaemonUnreachable.

        *client* has at most the share of the threads that it leaves free.
        """
        if not self._share.acquire(client):
            raise DaemonUnreachable("too many requests of this client are waiting")
        pending = self._others.submit(ask, self.backend)
        pending.add_done_callback(lambda _: self._share.release(client))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(pending), seconds)
        except TimeoutError:
            detail = f"no answer within {seconds:g} s"
            raise DaemonUnreachable(detail, timed_out=True) from None

    async def close(self) -> None:
        """End the threads; what has not begun is cancelled."""
        self._others.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self.executor.close)


class ScannerChecks:
    """Checks of one server, each answered within *timeout* seconds."""

    def __init__(
        self, connection: ScannerConnection, timeout: float, counters: CheckCounters
    ) -> None:
        self._connection, self._timeout, self._counters = connection, timeout, counters

    def open_stream(self) -> ContentStream:
        """Return a stream whose content is handed over once it is complete."""
        stream = UploadStream(self._connection.executor, self._connection.spool, MAX_MEMORY)
        return _ScannerStream(stream, self)

    async def check_fd(self, fd: int, context: UploadContext) -> Answer:
        """Return the scanner's answer for an open file."""

        def submit(context: UploadContext) -> Future[CheckResult]:
            own = os.dup(fd)

            def check(backend: CheckBackend) -> CheckResult:
                return backend.check(own, context, private=False)

            task = CheckTask(client_of(context), own, check)
            return self._connection.executor.submit(task)

        return await self.answer(submit, context)

    async def answer(
        self, submit: Callable[[UploadContext], Future[CheckResult]], context: UploadContext
    ) -> Answer:
        """Submit a check under a new event, and return its answer within the time."""
        event = secrets.token_hex(4)
        self._counters.count_user(context.submitter_uid)
        started = time.monotonic()
        try:
            pending = submit(replace(context, event=event))
            result = await asyncio.wait_for(asyncio.wrap_future(pending), self._timeout)
        except TimeoutError:
            detail = f"no verdict within {self._timeout:g} s"
            result = undetermined_result(Reason.TIMED_OUT, detail)
        except OSError as error:
            result = undetermined_result(Reason.UNREADABLE, error.strerror or "cannot be read")
        self._counters.count(result, time.monotonic() - started, event)
        return Answer(result, event)

    async def check_path(
        self, path: bytes, peer: Peer, *, everything: bool
    ) -> Sequence[PathAnswer]:
        """Return the scanner's answers for the files below a path."""
        if peer.uid is None or peer.gid is None:
            return [PathAnswer(path, None, "Access denied.")]
        if not path or len(path) > MAX_PATH:
            return [PathAnswer(path, None, "File path check failure: File name too long.")]
        seconds = min(self._timeout, MAX_PATH_TIME)
        request = PathCheckRequest(path, peer.uid, peer.gid, everything, seconds)
        try:
            files = await self._connection.request(
                f"{peer.uid}", lambda backend: backend.check_path(request), self._timeout
            )
        except DaemonUnreachable as error:
            self._counters.count(undetermined_result(Reason.UNANSWERED, error.detail), 0.0, "")
            return [PathAnswer(path, None)]
        return [self._path_answer(file) for file in files]

    def _path_answer(self, file: PathFileReply) -> PathAnswer:
        if file.checked is None:
            return PathAnswer(file.path, None, file.problem)
        result = file.checked.to_result()
        self._counters.count(result, 0.0, file.event)
        return PathAnswer(file.path, Answer(result, file.event))

    async def lookup(self, contents: Sequence[HashedContent]) -> Sequence[Verdict]:
        """Return the scanner's verdicts on contents that a client has hashed."""
        verdicts: list[Verdict] = []
        for first in range(0, len(contents), MAX_LOOKUPS):
            batch = contents[first : first + MAX_LOOKUPS]
            verdicts += await self._lookup(batch)
        return verdicts

    async def _lookup(self, batch: Sequence[HashedContent]) -> Sequence[Verdict]:
        asked = [
            LookupContent(tuple(map(to_wire_signal, content.signals)), content.kind)
            for content in batch
        ]
        try:
            return await self._connection.request(
                "lookup", lambda backend: backend.lookup(asked), self._timeout
            )
        except DaemonUnreachable as error:
            reason = Reason.TIMED_OUT if error.timed_out else Reason.UNANSWERED
            return [undetermined_result(reason, error.detail).verdict] * len(batch)

    async def is_able(self) -> bool:
        """Return whether the scanner and one of its matchers answer."""
        return (await self._connection.state()).able

    async def revision(self) -> int:
        """Return the scanner's number of changes of lists and matchers."""
        return (await self._connection.state()).revision


class _ScannerStream:
    """A content that is spooled here until it is complete."""

    def __init__(self, stream: UploadStream, checks: ScannerChecks) -> None:
        self._stream, self._checks = stream, checks

    def write(self, chunk: bytes) -> None:
        self._stream.write(chunk)

    async def finish(self, context: UploadContext) -> Answer:
        return await self._checks.answer(self._stream.finish, context)

    def descriptor(self) -> int:
        return self._stream.descriptor()

    def close(self) -> None:
        self._stream.close()
