"""Inspect one request body on its way to the application.

Bytes are passed on at least :data:`TAIL` bytes late, and no further than the end of a file until
its verdict is known. The application therefore never has all bytes of an undecided file, nor the
end of the body. Memory holds at most :data:`WINDOW` bytes, one chunk of the server, and as much
again while it is parsed; :class:`hashwacht.UploadStream` bounds the memory for a file.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from hashwacht import Checker, CheckResult, Outcome, Reason, UploadContext, Verdict
from hashwacht_plugins.file_check import FileCheck, FileResult, log_result, result_or_undetermined
from hashwacht_plugins.multipart.events import (
    BodyEvent,
    BodyReader,
    FileChunk,
    FileDropped,
    FileEnd,
    FileStart,
    MalformedBody,
    Unchecked,
)
from hashwacht_plugins.policy import Policy, RefusalResponse, UploadAction

_log = logging.getLogger(__name__)

TAIL = 4096
"""Bytes of the body that are always held back: more than a delimiter and its padding."""

WINDOW = 256 << 10
"""Bytes that may be held back for a verdict before reading stops."""

MAX_PENDING_FILES = 8
"""Files of one request that may wait for their verdict: each has an open temporary file."""

ContextFactory = Callable[[FileStart], UploadContext]


@dataclass(slots=True)
class Findings:
    """The results for a request, complete when the application has the whole body.

    *action* is None until everything is decided.
    """

    files: list[FileResult] = field(default_factory=list)
    action: UploadAction | None = None


class ByteQueue:
    """A queue of bytes in the pieces in which they arrived, so that they are not copied."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self.size = 0

    def add(self, piece: bytes) -> None:
        """Append *piece* unless it is empty."""
        if piece:
            self._pieces.append(piece)
            self.size += len(piece)

    def take(self, keep: int) -> bytes:
        """Remove and return whole pieces, leaving at least the last *keep* bytes."""
        pieces = []
        while self._pieces and self.size - len(self._pieces[0]) >= keep:
            pieces.append(self._pieces.popleft())
            self.size -= len(pieces[-1])
        return b"".join(pieces)

    def clear(self) -> None:
        """Drop all bytes."""
        self._pieces.clear()
        self.size = 0


class UploadInspection:
    """Inspects one body: ``receive`` and ``finish``, wait for ``pending``, then ``settle``."""

    def __init__(
        self, body: BodyReader, policy: Policy, checker: Checker, context_for: ContextFactory
    ) -> None:
        """Inspect *body* with *checker*; *context_for* describes the origin of a file."""
        self.findings = Findings()
        self.pending: list[Future[CheckResult]] = []
        self.timeout = self.time_left = policy.timeout
        self.refusal: RefusalResponse | None = None
        self._body, self._policy, self._checker = body, policy, checker
        self._context_for = context_for
        self._held = ByteQueue()
        self._open: dict[int, tuple[FileStart, FileCheck]] = {}
        self._count = 0
        self._waiting: dict[Future[CheckResult], tuple[int, FileStart]] = {}
        self._results: dict[int, FileResult] = {}
        self._malformed = False
        self._undecided = True
        self.complete = self.closed = False

    def receive(self, chunk: bytes) -> None:
        """Inspect the next bytes from the client and hold them back."""
        if self.refusal is None and not self.closed:
            self._held.add(chunk)
            self._handle(self._body.receive(chunk))

    def finish(self) -> None:
        """Mark the body as complete."""
        self.complete = self._undecided = True
        if self.refusal is None and not self.closed:
            self._handle(self._body.finish())

    @property
    def unsettled(self) -> bool:
        """True if ``settle`` has something to do."""
        return self._undecided or bool(self.pending)

    @property
    def must_wait(self) -> bool:
        """True if no more may be read or passed on without verdicts."""
        if not self.pending:
            return False
        return self.complete or self._held.size > WINDOW or len(self.pending) >= MAX_PENDING_FILES

    @property
    def held(self) -> int:
        """Number of bytes of the body in memory."""
        return self._held.size

    def settle(self, waited: float) -> None:
        """Record the available results; when the time is used up, the rest is undetermined.

        *waited* is the number of seconds spent waiting.
        """
        self.time_left = max(0.0, self.time_left - waited)
        for future in [f for f in self.pending if f.done() or not self.time_left]:
            self.pending.remove(future)
            self._record(*self._waiting.pop(future), result_or_undetermined(future))
        if self._undecided and not self.pending:
            self._undecided = False
            self._decide()

    def passable(self) -> bytes:
        """Return the bytes that may be passed on now: all of them once all files are decided."""
        if self.pending or self.refusal is not None:
            return b""
        return self._held.take(0 if self.complete else TAIL)

    def close(self) -> None:
        """Cancel pending checks and release everything held."""
        self.closed = True
        for future in self.pending:
            future.cancel()
        self.pending.clear()
        for reading in list(self._open):
            self._drop(reading)
        self._held.clear()

    def _handle(self, events: list[BodyEvent]) -> None:
        for event in events:
            match event:
                case FileStart():
                    self._start_file(event)
                case FileChunk(chunk=chunk, reading=reading):
                    self._write(chunk, reading)
                case FileEnd(reading=reading):
                    self._end_file(reading)
                case FileDropped(reading=reading):
                    self._drop(reading)
                case Unchecked(reason=reason, detail=detail):
                    self._give_up(reason, detail, FileStart())
                case MalformedBody(detail=detail):
                    self._malformed = self._undecided = True
                    _log.warning("a malformed upload: %s", ascii(detail))

    def _start_file(self, file: FileStart) -> None:
        self._count += 1
        if self._count <= self._policy.max_files:
            self._open[file.reading] = file, FileCheck(self._checker, self._policy)
        elif self._count == self._policy.max_files + 1:
            self._give_up(Reason.OVER_LIMIT, f"more than {self._policy.max_files} files", file)

    def _write(self, chunk: bytes, reading: int) -> None:
        if reading not in self._open:
            return
        file, check = self._open[reading]
        check.write(chunk)
        if check.fault is not None:
            self._record(self._number, file, check.fault)
            self._drop(reading)

    def _end_file(self, reading: int) -> None:
        """Submit the file for checking unless it is empty."""
        if reading in self._open:
            file, check = self._open[reading]
            if check.size:
                future = check.finish(self._context_for(file))
                self._waiting[future] = self._number, file
                self.pending.append(future)
            self._drop(reading)

    def _give_up(self, reason: Reason, detail: str, file: FileStart) -> None:
        verdict = Verdict(Outcome.UNDETERMINED, reason=reason, detail=detail)
        self._record(self._number, file, CheckResult(verdict))

    def _drop(self, reading: int) -> None:
        if reading in self._open:
            self._open.pop(reading)[1].close()

    @property
    def _number(self) -> int:
        """The number of the next file, in the order of the body."""
        return len(self._waiting) + len(self._results)

    def _record(self, number: int, file: FileStart, result: CheckResult) -> None:
        self._undecided = True
        self._results[number] = FileResult(file.field, file.file_name, file.declared_type, result)
        log_result(result)

    def _decide(self) -> None:
        """Refuse as soon as that is certain; allow when the body is complete."""
        results = [file.result for file in self._results.values()]
        action, refusal = self._policy.decide(results, malformed=self._malformed)
        if action is UploadAction.REJECT:
            self.refusal = refusal
            self._held.clear()
        if self.complete or action is UploadAction.REJECT:
            self.findings.files = [self._results[number] for number in sorted(self._results)]
            self.findings.action = action
