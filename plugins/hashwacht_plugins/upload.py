"""One request body on its way to the application: what is checked, and what may be passed on.

What is passed on lags behind what has come by at least :data:`TAIL` bytes, and stops where a file
has ended until its verdict is there.  So the application never has all bytes of a file that has
no verdict, and not the end of the body.  In memory are at most :data:`WINDOW` bytes, what one
``receive`` of the server brought, and as much again while it is parsed; what becomes of a file is
:class:`hashwacht.UploadStream`'s business.

Bytes that have come and may not be passed on yet.

One file on its way through an application: it is never the application's error if this fails.
"""

from __future__ import annotations

import logging
import tempfile
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

from hashwacht import (
    Checker,
    CheckResult,
    HashwachtError,
    Outcome,
    Reason,
    UploadContext,
    UploadStream,
    Verdict,
)
from hashwacht_plugins.findings import FileResult, Findings, log_result, result_or_undetermined
from hashwacht_plugins.multipart.body import BodyReader
from hashwacht_plugins.multipart.events import (
    BodyEvent,
    FileChunk,
    FileEnd,
    FileStart,
    MalformedBody,
    Unchecked,
)
from hashwacht_plugins.policy import Policy, RefusalResponse, UploadAction


class ByteQueue:
    """A queue of bytes in the pieces in which they came, so that they are passed on uncopied."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self.size = 0

    def add(self, piece: bytes) -> None:
        """Take what has come."""
        if piece:
            self._pieces.append(piece)
            self.size += len(piece)

    def take(self, keep: int) -> bytes:
        """Return whole pieces, leaving at least the last *keep* bytes."""
        taken = []
        while self._pieces and self.size - len(self._pieces[0]) >= keep:
            taken.append(self._pieces.popleft())
            self.size -= len(taken[-1])
        return b"".join(taken)

    def clear(self) -> None:
        """Let everything go."""
        self._pieces.clear()
        self.size = 0


class FileCheck:
    """``write`` what comes, ``finish`` for the verdict, ``close`` on every path.

    Whatever goes wrong on the way is an undetermined verdict, which ``finish`` gives at once.
    """

    def __init__(self, checker: Checker, policy: Policy) -> None:
        """Take one file; nothing happens before there is a byte of it."""
        self._checker, self._policy = checker, policy
        self._incoming: UploadStream | None = None
        self.fault: CheckResult | None = None
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self.size += len(chunk)
        if self.fault is not None or not chunk:
            return
        if self.size > self._policy.max_bytes:
            self._give_up(Reason.OVER_LIMIT, f"more than {self._policy.max_bytes} bytes")
            return
        try:
            if self._incoming is None:
                self._incoming = self._checker.open_upload(self._policy.spool)
            self._incoming.write(chunk)
        except OSError as error:
            self._give_up(Reason.UNREADABLE, f"no room to check it: {error.strerror}")
        except HashwachtError as error:
            self._give_up(Reason.UNANSWERED, error.message)

    def finish(self, context: UploadContext) -> Future[CheckResult]:
        """End the file; an empty one has nothing to look up."""
        if self._incoming is None and self.fault is None:
            return _known(CheckResult(Verdict(Outcome.NO_MATCH)))
        if self._incoming is not None:
            try:
                return self._incoming.finish(context)
            except OSError as error:
                self._give_up(Reason.UNREADABLE, error.strerror or "no descriptor left")
            except RuntimeError as error:  # the checker is closed, or the interpreter ends
                self._give_up(Reason.UNANSWERED, str(error))
        assert self.fault is not None
        return _known(self.fault)

    def close(self) -> None:
        """Let everything go.  Any number of calls."""
        if self._incoming is not None:
            self._incoming.close()
            self._incoming = None

    def _give_up(self, reason: Reason, detail: str) -> None:
        self.close()
        self.fault = CheckResult(Verdict(Outcome.UNDETERMINED, reason=reason, detail=detail))


def spool_problem(policy: Policy) -> str:
    """Return why no temporary file can be created, or an empty text."""
    try:
        with tempfile.TemporaryFile(dir=policy.spool):
            return ""
    except OSError as error:
        return f"no temporary file can be made in {policy.spool or 'the usual place'}: {error}"


def _known(checked: CheckResult) -> Future[CheckResult]:
    future: Future[CheckResult] = Future()
    future.set_result(checked)
    return future


_log = logging.getLogger(__name__)

TAIL = 4096
"""Bytes of the body that are always held back: more than a delimiter and its padding."""

WINDOW = 256 << 10
"""Bytes held back while a verdict is awaited before no more are read."""

MAX_PENDING_FILES = 8
"""Files of one request that may wait for their verdict: each has an open temporary file."""

ContextFactory = Callable[[FileStart], UploadContext]


class UploadInspection:
    """``receive`` and ``finish`` take the body; wait for ``pending``, then ``settle``."""

    def __init__(
        self, body: BodyReader, policy: Policy, checker: Checker, describe: ContextFactory
    ) -> None:
        """Look into *body* with *checker*; *describe* tells what the request told of a file."""
        self.findings = Findings()
        self.pending: list[Future[CheckResult]] = []
        self.timeout = self.patience = policy.timeout
        self.refusal: RefusalResponse | None = None
        self._body, self._policy, self._checker, self._describe = body, policy, checker, describe
        self._held = ByteQueue()
        self._file = FileStart()
        self._taking: FileCheck | None = None
        self._count = 0
        self._waiting: dict[Future[CheckResult], tuple[int, FileStart]] = {}
        self._found: dict[int, FileResult] = {}
        self._malformed = False
        self._news = True
        self.complete = self.closed = False

    def receive(self, chunk: bytes) -> None:
        """Take bytes that came from the client."""
        if self.refusal is None and not self.closed:
            self._held.add(chunk)
            self._take(self._body.receive(chunk))

    def finish(self) -> None:
        """Take note that the body is complete."""
        self.complete = self._news = True
        if self.refusal is None and not self.closed:
            self._take(self._body.finish())

    @property
    def unsettled(self) -> bool:
        """True if there is something to settle."""
        return self._news or bool(self.pending)

    @property
    def must_wait(self) -> bool:
        """True if verdicts must be there before more is read or passed on."""
        if not self.pending:
            return False
        return self.complete or self._held.size > WINDOW or len(self.pending) >= MAX_PENDING_FILES

    @property
    def held(self) -> int:
        """Bytes of the body that are in memory."""
        return self._held.size

    def settle(self, waited: float) -> None:
        """Take the verdicts that are there.

        *waited* seconds were spent waiting; when patience has run out, the rest is undetermined.
        """
        self.patience = max(0.0, self.patience - waited)
        for each in [each for each in self.pending if each.done() or not self.patience]:
            self.pending.remove(each)
            self._note(*self._waiting.pop(each), result_or_undetermined(each))
        if self._news and not self.pending:
            self._news = False
            self._decide()

    def passable(self) -> bytes:
        """Return what may be passed on now; everything once all files are decided."""
        if self.pending or self.refusal is not None:
            return b""
        return self._held.take(0 if self.complete else TAIL)

    def close(self) -> None:
        """Let everything go; checks that nobody waits for any more are taken back."""
        self.closed = True
        for each in self.pending:
            each.cancel()
        self.pending.clear()
        self._drop()
        self._held.clear()

    def _take(self, events: list[BodyEvent]) -> None:
        for each in events:
            match each:
                case FileStart():
                    self._begin(each)
                case FileChunk(chunk=chunk):
                    self._write(chunk)
                case FileEnd():
                    self._end()
                case Unchecked(reason=reason, detail=detail):
                    self._give_up(reason, detail, self._file)
                case MalformedBody(detail=detail):
                    self._drop()
                    self._malformed = self._news = True
                    _log.warning("a malformed upload: %s", ascii(detail))

    def _begin(self, file: FileStart) -> None:
        self._drop()
        self._count += 1
        if self._count <= self._policy.max_files:
            self._file, self._taking = file, FileCheck(self._checker, self._policy)
        elif self._count == self._policy.max_files + 1:
            self._give_up(Reason.OVER_LIMIT, f"more than {self._policy.max_files} files", file)

    def _write(self, chunk: bytes) -> None:
        if self._taking is None:
            return
        self._taking.write(chunk)
        if self._taking.fault is not None:
            self._note(self._number, self._file, self._taking.fault)
            self._drop()

    def _end(self) -> None:
        """Have the file checked; an empty one has nothing that anybody could know."""
        if self._taking is not None and self._taking.size:
            future = self._taking.finish(self._describe(self._file))
            self._waiting[future] = self._number, self._file
            self.pending.append(future)
        self._drop()

    def _give_up(self, reason: Reason, detail: str, file: FileStart) -> None:
        verdict = Verdict(Outcome.UNDETERMINED, reason=reason, detail=detail)
        self._note(self._number, file, CheckResult(verdict))
        self._drop()

    def _drop(self) -> None:
        taking, self._taking, self._file = self._taking, None, FileStart()
        if taking is not None:
            taking.close()

    @property
    def _number(self) -> int:
        """The next place among the files, in the order of the body."""
        return len(self._waiting) + len(self._found)

    def _note(self, number: int, file: FileStart, checked: CheckResult) -> None:
        self._news = True
        self._found[number] = FileResult(file.field, file.file_name, file.declared_type, checked)
        log_result(checked)

    def _decide(self) -> None:
        """Refuse as soon as that is certain; allow when the body is complete."""
        found = [each.result for each in self._found.values()]
        action, refusal = self._policy.decide(found, malformed=self._malformed)
        if action is UploadAction.REJECT:
            self.refusal = refusal
            self._held.clear()
        if self.complete or action is UploadAction.REJECT:
            self.findings.files = [self._found[number] for number in sorted(self._found)]
            self.findings.action = action
