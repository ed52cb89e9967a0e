"""One request body on its way to the application: what is checked, and what may be passed on.

What is passed on lags behind what has come by at least :data:`TAIL` bytes, and stops where a file
has ended until its verdict is there.  So the application never has all bytes of a file that has
no verdict, and not the end of the body.  In memory are at most :data:`WINDOW` bytes, what one
``receive`` of the server brought, and as much again while it is parsed; files lie in unlinked
temporary files, which end with their descriptors, whatever becomes of this process.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import IO

from hashwacht import Checked, Circumstances, Outcome, Reason, Verdict
from hashwacht_plugins.body import Body
from hashwacht_plugins.events import Event, FileBegins, FileBytes, FileEnds, Malformed, Unjudged
from hashwacht_plugins.policy import Action, Policy, Refusal

_log = logging.getLogger(__name__)

TAIL = 4096
"""Bytes of the body that are always held back: more than a delimiter and its padding."""

WINDOW = 256 << 10
"""Bytes held back while a verdict is awaited before no more are read."""

AT_ONCE = 8
"""Files of one request that may wait for their verdict: each has an open temporary file."""

Submit = Callable[[int, Circumstances], Future[Checked]]
Describe = Callable[[FileBegins], Circumstances]


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A file of the request, as the client described it, and what is known of it."""

    field: str
    file_name: str
    declared_type: str
    checked: Checked


@dataclass(slots=True)
class Findings:
    """What the application is told: complete as soon as it has the whole body.

    *action* is None until everything is decided.
    """

    files: list[CheckedFile] = field(default_factory=list)
    action: Action | None = None


class Upload:
    """``receive`` and ``finish`` take the body; wait for ``pending``, then ``settle``."""

    def __init__(self, body: Body, policy: Policy, submit: Submit, describe: Describe) -> None:
        """Look into *body*; *submit* begins a check, *describe* tells what the request told."""
        self.findings = Findings()
        self.pending: list[Future[Checked]] = []
        self.patience = policy.seconds
        self.refusal: Refusal | None = None
        self._body, self._policy, self._submit, self._describe = body, policy, submit, describe
        self._held = bytearray()
        self._file: FileBegins | None = None
        self._spool: IO[bytes] | None = None
        self._size = self._count = 0
        self._waiting: dict[Future[Checked], tuple[int, FileBegins]] = {}
        self._found: dict[int, CheckedFile] = {}
        self._malformed = self._complete = False

    def receive(self, chunk: bytes) -> None:
        """Take bytes that came from the client."""
        if self.refusal is None:
            self._held += chunk
            self._take(self._body.receive(chunk))

    def finish(self) -> None:
        """Take note that the body is complete."""
        self._complete = True
        if self.refusal is None:
            self._take(self._body.finish())

    @property
    def must_wait(self) -> bool:
        """True if verdicts must be there before more is read or passed on."""
        if not self.pending:
            return False
        return self._complete or len(self._held) > WINDOW or len(self.pending) >= AT_ONCE

    @property
    def held(self) -> int:
        """Bytes of the body that are in memory."""
        return len(self._held)

    def settle(self, waited: float) -> None:
        """Take the verdicts that are there.

        *waited* seconds were spent waiting; when patience has run out, the rest is undetermined.
        """
        self.patience = max(0.0, self.patience - waited)
        for each in [each for each in self.pending if each.done() or not self.patience]:
            self.pending.remove(each)
            self._note(*self._waiting.pop(each), result_of(each))
        if not self.pending:
            self._decide()

    def passable(self) -> bytes:
        """Give what may be passed on now; all of it once everything is decided."""
        if self.pending or self.refusal is not None:
            return b""
        free = len(self._held) - (0 if self._complete else TAIL)
        if free <= 0:
            return b""
        passed = bytes(self._held[:free])
        del self._held[:free]
        return passed

    def close(self) -> None:
        """Let everything go; checks that nobody waits for any more are taken back."""
        for each in self.pending:
            each.cancel()
        self._drop()
        self._held.clear()

    def _take(self, events: list[Event]) -> None:
        for each in events:
            match each:
                case FileBegins():
                    self._begin(each)
                case FileBytes(chunk=chunk):
                    self._write(chunk)
                case FileEnds():
                    self._end()
                case Unjudged(reason=reason, detail=detail):
                    self._give_up(reason, detail)
                case Malformed(detail=detail):
                    self._drop()
                    self._malformed = True
                    _log.warning("a malformed upload: %s", ascii(detail))

    def _begin(self, file: FileBegins) -> None:
        self._drop()
        self._file = file
        self._count += 1
        if self._count == self._policy.max_files + 1:
            self._give_up(Reason.OVER_LIMIT, f"more than {self._policy.max_files} files")
        elif self._count > self._policy.max_files:
            self._drop()

    def _write(self, chunk: bytes) -> None:
        if self._file is None:
            return
        self._size += len(chunk)
        if self._size > self._policy.max_bytes:
            self._give_up(Reason.OVER_LIMIT, f"more than {self._policy.max_bytes} bytes")
            return
        try:
            if self._spool is None:
                self._spool = tempfile.TemporaryFile(buffering=0, dir=self._policy.spool)  # noqa: SIM115  # closed by _drop, which every path comes to
            rest = memoryview(chunk)
            while rest:
                rest = rest[self._spool.write(rest) :]
        except OSError as error:
            self._give_up(Reason.UNREADABLE, f"no room to check it: {error.strerror}")

    def _end(self) -> None:
        """Have the file checked; an empty one has nothing that anybody could know."""
        if self._file is not None and self._spool is not None:
            self._check(self._file, self._spool)
        self._drop()

    def _check(self, file: FileBegins, spool: IO[bytes]) -> None:
        try:
            future = self._submit(spool.fileno(), self._describe(file))
        except OSError as error:
            self._give_up(Reason.UNREADABLE, error.strerror or "no descriptor left")
            return
        self._waiting[future] = self._number, file
        self.pending.append(future)

    def _give_up(self, reason: Reason, detail: str) -> None:
        verdict = Verdict(Outcome.UNDETERMINED, reason=reason, detail=detail)
        self._note(self._number, self._file or FileBegins(), Checked(verdict))
        self._drop()

    def _drop(self) -> None:
        spool, self._spool, self._file, self._size = self._spool, None, None, 0
        if spool is not None:
            spool.close()

    @property
    def _number(self) -> int:
        """The next place among the files, in the order of the body."""
        return len(self._waiting) + len(self._found)

    def _note(self, number: int, file: FileBegins, checked: Checked) -> None:
        """Remember a verdict and tell the log, without anything that the client wrote."""
        self._found[number] = CheckedFile(file.field, file.file_name, file.declared_type, checked)
        if checked.outcome is Outcome.MATCH:
            known = ", ".join(f"{each.matcher}/{each.id}" for each in checked.matches)
            _log.warning("an upload matches: %s", ascii(known))
        elif checked.outcome is Outcome.UNDETERMINED:
            detail = ascii(checked.verdict.detail)
            _log.warning("an upload is undetermined: %s %s", checked.reason, detail)

    def _decide(self) -> None:
        """Refuse as soon as that is certain; allow when the body is complete."""
        found = [each.checked for each in self._found.values()]
        action, refusal = self._policy.decide(found, malformed=self._malformed)
        if action is Action.REJECT:
            self.refusal = refusal
            self._held.clear()
        if self._complete or action is Action.REJECT:
            self.findings.files = [self._found[number] for number in sorted(self._found)]
            self.findings.action = action


def result_of(future: Future[Checked]) -> Checked:
    """Give the verdict; whatever went wrong, there is none then."""
    if not future.done():
        future.add_done_callback(_tell_late)
        verdict = Verdict(
            Outcome.UNDETERMINED, reason=Reason.TIMED_OUT, detail="no verdict in time"
        )
        return Checked(verdict)
    try:
        return future.result()
    except Exception as error:  # noqa: BLE001  # law 2: unanswered is undetermined
        _log.exception("an upload could not be checked")
        return Checked(
            Verdict(Outcome.UNDETERMINED, reason=Reason.HASHER_FAILED, detail=type(error).__name__)
        )


def _tell_late(future: Future[Checked]) -> None:
    done = not future.cancelled() and future.exception() is None
    if done and future.result().outcome is Outcome.MATCH:
        _log.error("an upload that was not waited for matches: %s", future.result().key)
