"""Check one file of a request: feed it to the checker, collect and log the result.

A failure to check is never an error of the application: it becomes an undetermined result.
"""

from __future__ import annotations

import logging
import tempfile
from concurrent.futures import Future
from dataclasses import dataclass

from hashwacht import (
    Checker,
    CheckResult,
    HashwachtError,
    Match,
    Outcome,
    Reason,
    UploadContext,
    UploadStream,
    Verdict,
)
from hashwacht_plugins.policy import Policy

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FileResult:
    """A file of the request, as described by the client, and its result."""

    field: str
    file_name: str
    declared_type: str
    result: CheckResult


class FileCheck:
    """Feeds one file to the checker: ``write`` chunks, ``finish``, and ``close`` on every path.

    After a failure *fault* is the undetermined result, which ``finish`` returns at once.
    """

    def __init__(self, checker: Checker, policy: Policy) -> None:
        """Prepare to check one file; nothing is opened before its first byte."""
        self._checker, self._policy = checker, policy
        self._stream: UploadStream | None = None
        self.fault: CheckResult | None = None
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Feed the next bytes of the file."""
        self.size += len(chunk)
        if self.fault is not None or not chunk:
            return
        if self.size > self._policy.max_bytes:
            self._fail(Reason.OVER_LIMIT, f"more than {self._policy.max_bytes} bytes")
            return
        try:
            if self._stream is None:
                self._stream = self._checker.open_upload(self._policy.spool)
            self._stream.write(chunk)
        except OSError as error:
            self._fail(Reason.OVERLOADED, f"no room to check it: {error.strerror}")
        except HashwachtError as error:
            self._fail(Reason.UNANSWERED, error.message)

    def finish(self, context: UploadContext) -> Future[CheckResult]:
        """Return the future result of the file; an empty file matches nothing."""
        if self._stream is None and self.fault is None:
            return _completed(CheckResult(Verdict(Outcome.NO_MATCH)))
        if self._stream is not None:
            try:
                return self._stream.finish(context)
            except OSError as error:
                self._fail(Reason.UNREADABLE, error.strerror or "no descriptor left")
            except RuntimeError as error:  # the checker is closed, or the interpreter exits
                self._fail(Reason.UNANSWERED, str(error))
        assert self.fault is not None
        return _completed(self.fault)

    def close(self) -> None:
        """Release the temporary file.  May be called any number of times."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _fail(self, reason: Reason, detail: str) -> None:
        self.close()
        self.fault = CheckResult(Verdict(Outcome.UNDETERMINED, reason=reason, detail=detail))


def _completed(result: CheckResult) -> Future[CheckResult]:
    future: Future[CheckResult] = Future()
    future.set_result(result)
    return future


def result_or_undetermined(future: Future[CheckResult]) -> CheckResult:
    """Return the result, or an undetermined one if checking failed or has not finished."""
    if not future.done():
        future.add_done_callback(_log_late_match)
        verdict = Verdict(
            Outcome.UNDETERMINED, reason=Reason.TIMED_OUT, detail="no verdict in time"
        )
        return CheckResult(verdict)
    try:
        return future.result()
    except Exception as error:  # noqa: BLE001  # unanswered is undetermined
        _log.exception("an upload could not be checked")
        return CheckResult(
            Verdict(Outcome.UNDETERMINED, reason=Reason.HASHER_FAILED, detail=type(error).__name__)
        )


def _log_late_match(future: Future[CheckResult]) -> None:
    succeeded = not future.cancelled() and future.exception() is None
    if succeeded and future.result().outcome is Outcome.MATCH:
        _log.error("an upload matched after the timeout: %s", future.result().key)


def log_result(result: CheckResult) -> None:
    """Log a match or an undetermined result, without any text chosen by the client."""
    if result.outcome is Outcome.MATCH:
        matches = ", ".join(_match_text(match) for match in result.matches)
        _log.warning("an upload matches: %s, content %s", ascii(matches), result.key)
    elif result.outcome is Outcome.UNDETERMINED:
        detail = ascii(result.verdict.detail)
        _log.warning("an upload is undetermined: %s %s", result.reason, detail)


def log_unheld(error: OSError) -> None:
    """Log why a file could not be held until its verdict, which refuses the upload."""
    _log.error(
        "an upload is refused because it cannot be held until its verdict: %s; make room in the"
        " spool directory, or set Policy.spool to another one",
        error.strerror,
    )


def _match_text(match: Match) -> str:
    """Return category, matcher and list as ``hashwacht scan`` prints them."""
    source = f"{match.matcher}/{match.list}" if match.list else match.matcher
    number = f" #{match.id}" if match.id else ""
    return f"{match.category} {source}{number} {match.signal.type}"


def spool_problem(policy: Policy) -> str:
    """Return why no temporary file can be created, or an empty text."""
    try:
        with tempfile.TemporaryFile(dir=policy.spool):
            return ""
    except OSError as error:
        directory = policy.spool or "the default directory"
        return f"cannot create a temporary file in {directory}: {error}"
