"""An upload that a web application handed over: read, judged, kept, and the verdict given at once.

The application is not trusted with more than its own upload.  What it hands over is opened once
more, only for reading, with an offset of our own; it must be a regular file that the application
itself may read, or it could have us read what it may not.  Size and content are what is read.
"""

from __future__ import annotations

import fcntl
import logging
import os
import stat
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from hashwacht import __version__
from hashwacht.core.errors import Interrupted, StorageError
from hashwacht.core.types import Fingerprint, Outcome, Reason, Verdict
from hashwacht.core.upload_context import UploadContext
from hashwacht.core.watch_events import Lane
from hashwacht.daemon.scanner.counters import Counters
from hashwacht.daemon.scanner.recorder import VerdictProcessor
from hashwacht.daemon.scanner.runtime import Runtime, RuntimeHandle
from hashwacht.matching.matcher_set import LookupRequest
from hashwacht.pipeline import judge_all
from hashwacht.platform.safe_open import read_consistent, read_once, reopen_read_only
from hashwacht.storage.pending import PendingContent
from hashwacht.uploads.backend import CheckResult, undetermined_result
from hashwacht.uploads.local import ResultStorage, undetermined_on_error
from hashwacht.uploads.partial import PartialUploadLog
from hashwacht.uploads.protocol import DescribeDaemonReply, UploadCheckRequest

_log = logging.getLogger(__name__)

_READABLE = (os.O_RDONLY, os.O_RDWR)


@dataclass(frozen=True, slots=True)
class UploadDeps:
    """The parts that the handler uses; *max_file_size* returns the current limit in bytes."""

    state: ResultStorage
    partial: PartialUploadLog
    runtime: RuntimeHandle
    verdicts: VerdictProcessor
    counting: Counters
    max_file_size: Callable[[], int]


class UploadHandler:
    """Answers what applications ask.  Thread-safe."""

    def __init__(self, means: UploadDeps, clock: Callable[[], float] = time.time) -> None:
        """Once ``closing`` is set no answer counts any more.  *clock* gives Unix time."""
        self._means, self._clock = means, clock
        self.closing = threading.Event()

    def describe(self) -> DescribeDaemonReply:
        """Say who is here."""
        return DescribeDaemonReply(__version__, self._means.max_file_size())

    def note(self, protocol: str) -> None:
        """Note that files come in parts.  Raises StorageError."""
        self._means.partial.record(protocol)

    def check(self, given: int, question: UploadCheckRequest, user: int) -> CheckResult:
        """Give the verdict on the open file *given* (it stays open), which *user* handed over.

        Raises Interrupted if the daemon is being stopped: whoever waits asks the next one.
        """
        came = self._clock()
        context = question.context and replace(question.context, submitter_uid=user)
        checked = undetermined_on_error(
            lambda: self._check(given, context, private=question.private)
        )
        if self.closing.is_set():
            raise Interrupted("the daemon was stopped while an upload was checked")
        delay = self._clock() - came
        self._means.counting.count_verdict(checked.outcome, checked.size, delay)
        self._means.counting.count_upload()
        return checked

    def settle(self, checked: CheckResult) -> None:
        """Let follow what follows from a verdict that was given: nobody waits for that."""
        if checked.outcome is Outcome.MATCH and checked.recorded:
            with self._means.runtime.borrow() as parts:
                self._means.verdicts.apply_to_upload(parts, checked.key)

    def count_refused(self, user: int) -> None:
        """Note that *user* came once too often at a time."""
        _log.warning("user %d hands over too many uploads at once", user)
        self._means.counting.count_refused_connection()

    def _check(self, given: int, context: UploadContext | None, *, private: bool) -> CheckResult:
        problem = self._refused(given)
        if problem is not None:
            return problem
        fd = reopen_read_only(given)
        try:
            with self._means.runtime.borrow() as parts:
                found = _read(fd, parts, private=private)
                verdict, kept = self._judged(parts, found, context)
        finally:
            os.close(fd)
        return CheckResult(verdict, found.key, found.kind, found.size, kept)

    def _refused(self, given: int) -> CheckResult | None:
        """Say why a descriptor is not read, if it is not."""
        flags: int = fcntl.fcntl(given, fcntl.F_GETFL)
        if flags & os.O_PATH or flags & os.O_ACCMODE not in _READABLE:
            return undetermined_result(Reason.UNREADABLE, "it was not handed over for reading")
        seen, most = os.fstat(given), self._means.max_file_size()
        if not stat.S_ISREG(seen.st_mode):
            return undetermined_result(Reason.UNREADABLE, "not a regular file")
        if seen.st_size > most:
            return undetermined_result(Reason.OVER_LIMIT, f"more than {most} bytes")
        return None

    def _judged(
        self, parts: Runtime, found: Fingerprint, context: UploadContext | None
    ) -> tuple[Verdict, bool]:
        """Give the verdict, and say if it is kept; a state that fails changes no verdict."""
        try:
            return self._kept(parts, found, context)
        except StorageError as error:
            _log.error("an upload cannot be kept: %s", error.message)
        unavailable = self._means.verdicts.matcher_health.failing()
        panel = parts.pipeline.matcher_set
        return judge_all(panel, [LookupRequest(found)], self._clock(), unavailable)[
            0
        ].verdict, False

    def _kept(
        self, parts: Runtime, found: Fingerprint, context: UploadContext | None
    ) -> tuple[Verdict, bool]:
        """Keep the fingerprint, ask, keep what was said; who does not answer is asked again.

        What was told is written down before the verdict, so that no crash leaves a match of
        which nobody knows whose it is.
        """
        store, verdicts, now = self._means.state.store, self._means.verdicts, self._clock()
        content = store.contents.record([found], now)[found.key]
        judged = verdicts.judge_now(parts, [content.id], {content.id: content})
        if self.closing.is_set():  # the matchers are being closed
            raise Interrupted("the daemon was stopped while matchers were asked")
        verdict = judged[content.id].now.verdict
        counts = verdict.outcome is not Outcome.NO_MATCH
        if counts and context is not None:
            self._means.state.uploads.record(found.key, context)
        pending = [PendingContent(content.id, Lane.UPLOAD, now, "", b"")]
        verdicts.record(judged, pending if judged[content.id].is_pending else [])
        return verdict, counts


def _read(fd: int, parts: Runtime, *, private: bool) -> Fingerprint:
    """Read a file, in the line of what was handed in.  Raises OSError, Changed, WorkerError."""
    read = partial(parts.pipeline.fingerprint, upload=True)
    taken = read_once if private else read_consistent
    return taken(fd, read)[1]
