"""What is known of the files of one request: for the application, and for the log."""

from __future__ import annotations

import logging
from concurrent.futures import Future
from dataclasses import dataclass, field

from hashwacht import CheckResult, Match, Outcome, Reason, Verdict
from hashwacht_plugins.policy import UploadAction

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FileResult:
    """A file of the request, as the client described it, and what is known of it."""

    field: str
    file_name: str
    declared_type: str
    result: CheckResult


@dataclass(slots=True)
class Findings:
    """What the application is told: complete as soon as it has the whole body.

    *action* is None until everything is decided.
    """

    files: list[FileResult] = field(default_factory=list)
    action: UploadAction | None = None


def log_result(checked: CheckResult) -> None:
    """Log a verdict, without any text chosen by the client."""
    if checked.outcome is Outcome.MATCH:
        known = ", ".join(_known_to(each) for each in checked.matches)
        _log.warning("an upload matches: %s, content %s", ascii(known), checked.key)
    elif checked.outcome is Outcome.UNDETERMINED:
        detail = ascii(checked.verdict.detail)
        _log.warning("an upload is undetermined: %s %s", checked.reason, detail)


def _known_to(match: Match) -> str:
    """Return the matcher and list, in the words of ``hashwacht scan``."""
    place = f"{match.matcher}/{match.list}" if match.list else match.matcher
    number = f" #{match.id}" if match.id else ""
    return f"{match.category} {place}{number} {match.signal.type}"


def result_or_undetermined(future: Future[CheckResult]) -> CheckResult:
    """Return the verdict, or an undetermined one if checking failed."""
    if not future.done():
        future.add_done_callback(_tell_late)
        verdict = Verdict(
            Outcome.UNDETERMINED, reason=Reason.TIMED_OUT, detail="no verdict in time"
        )
        return CheckResult(verdict)
    try:
        return future.result()
    except Exception as error:  # noqa: BLE001  # law 2: unanswered is undetermined
        _log.exception("an upload could not be checked")
        return CheckResult(
            Verdict(Outcome.UNDETERMINED, reason=Reason.HASHER_FAILED, detail=type(error).__name__)
        )


def _tell_late(future: Future[CheckResult]) -> None:
    done = not future.cancelled() and future.exception() is None
    if done and future.result().outcome is Outcome.MATCH:
        _log.error("an upload that was not waited for matches: %s", future.result().key)
