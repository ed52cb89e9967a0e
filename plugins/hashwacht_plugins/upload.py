"""Inspect one request body on its way to the application.

No byte of a file is passed on before its verdict, because an application that writes what it
receives to its place would keep and serve it. With ``Policy.streaming`` a file is passed on as it
arrives, except for its last :data:`TAIL` bytes. The end of the body always waits for all verdicts.

Memory holds at most :data:`WINDOW` bytes (half of it if files are held), one chunk of the server,
and as much again while it is parsed; what is held beyond that is in an unlinked file.
:class:`hashwacht.UploadStream` bounds the memory for a file.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from hashwacht import Checker, CheckResult, Outcome, Reason, UploadContext, Verdict
from hashwacht.multipart.events import (
    BodyEvent,
    BodyReader,
    FileChunk,
    FileDropped,
    FileEnd,
    FileStart,
    MalformedBody,
    Unchecked,
)
from hashwacht_plugins.file_check import (
    FileCheck,
    FileResult,
    log_result,
    log_unheld,
    result_or_undetermined,
)
from hashwacht_plugins.held_bytes import TAIL, WINDOW, HeldBytes
from hashwacht_plugins.policy import OnUndetermined, Policy, RefusalResponse, UploadAction

_log = logging.getLogger(__name__)

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


@dataclass(frozen=True, slots=True)
class _OpenFile:
    """A file that is arriving; it does not begin before the offset *begin* in the body."""

    file: FileStart
    check: FileCheck
    begin: int


@dataclass(frozen=True, slots=True)
class _PendingFile:
    """A file that waits for its verdict; *begin* and *end* are offsets in the body.

    Nothing from *begin* on may be passed on; the file ends at or before *end*.
    """

    number: int
    file: FileStart
    begin: int
    end: int


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
        self._held = HeldBytes(policy.spool, spooled=policy.holds_files)
        self._received = self._chunk_begin = 0
        self._barrier: int | None = None
        self._open: dict[int, _OpenFile] = {}
        self._count = 0
        self._waiting: dict[Future[CheckResult], _PendingFile] = {}
        self._results: dict[int, FileResult] = {}
        self._malformed = False
        self._undecided = True
        self.complete = self.closed = False

    def receive(self, chunk: bytes) -> None:
        """Inspect the next bytes from the client and hold them back."""
        if self.refusal is not None or self.closed:
            return
        self._chunk_begin = self._received
        self._received += len(chunk)
        try:
            self._held.add(chunk)
        except OSError as error:
            self._refuse_unheld(error)
        else:
            self._handle(self._body.receive(chunk))

    def finish(self) -> None:
        """Mark the body as complete."""
        self.complete = self._undecided = True
        self._chunk_begin = self._received
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
        ahead = self._received - min(pending.end for pending in self._waiting.values())
        return self.complete or ahead > WINDOW or len(self.pending) >= MAX_PENDING_FILES

    @property
    def exhausted(self) -> bool:
        """True if all of the body has been passed on."""
        return self.complete and not self.pending and not self._held.size

    @property
    def held(self) -> int:
        """Number of bytes of the body in memory."""
        return self._held.in_memory

    def settle(self, waited: float) -> None:
        """Record the available results; when the time is used up, the rest is undetermined.

        *waited* is the number of seconds spent waiting.
        """
        self.time_left = max(0.0, self.time_left - waited)
        for future in [f for f in self.pending if f.done() or not self.time_left]:
            self.pending.remove(future)
            pending = self._waiting.pop(future)
            result = result_or_undetermined(future)
            self._record(pending.number, pending.file, result, pending.begin)
        if self._undecided and not self.pending:
            self._undecided = False
            self._decide()

    def passable(self) -> bytes:
        """Return bytes that may be passed on now; empty if there are none."""
        if self.refusal is not None or (self.complete and self.pending):
            return b""
        barriers = [pending.begin for pending in self._waiting.values()]
        if self._barrier is not None:
            barriers.append(self._barrier)
        if self._policy.holds_files and not self.complete:
            barriers += (opened.begin for opened in self._open.values())
        keep = max([0 if self.complete else TAIL, *(self._received - at for at in barriers)])
        try:
            return self._held.take(keep)
        except OSError as error:
            self._refuse_unheld(error)
            return b""

    def close(self) -> None:
        """Cancel pending checks and release everything held."""
        self.closed = True
        for future in self.pending:
            future.cancel()
        self.pending.clear()
        self._drop_all()
        self._held.close()

    def _handle(self, events: list[BodyEvent]) -> None:
        begin = self._first_begin()
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
                    self._give_up(reason, detail, FileStart(), begin)
                case MalformedBody(detail=detail):
                    if self._policy.on_malformed is OnUndetermined.REJECT:
                        self._block(begin)
                    self._malformed = self._undecided = True
                    _log.warning("a malformed upload: %s", ascii(detail))

    def _start_file(self, file: FileStart) -> None:
        self._count += 1
        if self._count <= self._policy.max_files:
            self._open[file.reading] = _OpenFile(
                file, FileCheck(self._checker, self._policy), self._first_begin()
            )
        elif self._count == self._policy.max_files + 1:
            detail = f"more than {self._policy.max_files} files"
            self._give_up(Reason.OVER_LIMIT, detail, file, self._first_begin())

    def _write(self, chunk: bytes, reading: int) -> None:
        if reading not in self._open:
            return
        opened = self._open[reading]
        opened.check.write(chunk)
        if opened.check.fault is not None:
            self._record(self._number, opened.file, opened.check.fault, opened.begin)
            self._drop(reading)

    def _end_file(self, reading: int) -> None:
        """Submit the file for checking unless it is empty."""
        if reading in self._open:
            opened = self._open[reading]
            if opened.check.size:
                future = opened.check.finish(self._context_for(opened.file))
                begin = opened.begin if self._policy.holds_files else self._passed
                pending = _PendingFile(self._number, opened.file, begin, self._received)
                self._waiting[future] = pending
                self.pending.append(future)
            self._drop(reading)

    def _first_begin(self) -> int:
        """Return from where a file that starts now may reach, in any of its readings.

        Readings of one part may start at different times, up to TAIL bytes late.
        """
        late = max(self._passed, self._chunk_begin - TAIL)
        return min([late, *(opened.begin for opened in self._open.values())])

    def _give_up(self, reason: Reason, detail: str, file: FileStart, begin: int) -> None:
        verdict = Verdict(Outcome.UNDETERMINED, reason=reason, detail=detail)
        self._record(self._number, file, CheckResult(verdict), begin)

    def _drop(self, reading: int) -> None:
        if reading in self._open:
            self._open.pop(reading).check.close()

    def _drop_all(self) -> None:
        for reading in list(self._open):
            self._drop(reading)

    @property
    def _number(self) -> int:
        """The number of the next file, in the order of the body."""
        return len(self._waiting) + len(self._results)

    @property
    def _passed(self) -> int:
        """The number of bytes that have been passed on."""
        return self._received - self._held.size

    def _record(self, number: int, file: FileStart, result: CheckResult, begin: int) -> None:
        """Record a result; nothing from *begin* on is passed on if it refuses the request."""
        self._undecided = True
        self._results[number] = FileResult(file.field, file.file_name, file.declared_type, result)
        log_result(result)
        if self._policy.decide([result], malformed=False)[0] is UploadAction.REJECT:
            self._block(begin)

    def _block(self, begin: int) -> None:
        """Pass nothing on from *begin*, until the request is decided."""
        self._barrier = begin if self._barrier is None else min(begin, self._barrier)

    def _decide(self) -> None:
        """Refuse as soon as that is certain; allow when the body is complete."""
        results = [file.result for file in self._results.values()]
        action, refusal = self._policy.decide(results, malformed=self._malformed)
        if action is UploadAction.REJECT:
            self._refuse(refusal)
        else:
            self._barrier = None
        if self.complete or action is UploadAction.REJECT:
            self._conclude(action)

    def _refuse_unheld(self, error: OSError) -> None:
        """Refuse a body that cannot be held: the application must not have an undecided file."""
        log_unheld(error)
        self._drop_all()
        self._refuse(self._policy.unavailable)
        self._conclude(UploadAction.REJECT)

    def _refuse(self, refusal: RefusalResponse) -> None:
        self.refusal = refusal
        self._held.close()

    def _conclude(self, action: UploadAction) -> None:
        self.findings.files = [self._results[number] for number in sorted(self._results)]
        self.findings.action = action
