"""``hashwacht check``: print the verdict on each file, for scripts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from hashwacht.cli.click_ext import Example, command
from hashwacht.cli.options import display_name, files_argument, global_options, open_input
from hashwacht.cli.output import print_result
from hashwacht.cli.render.findings import json_type, result_lines, to_fields
from hashwacht.core.errors import ExitCode
from hashwacht.core.paths import escape_path
from hashwacht.core.types import Answer, Outcome, Reason, Verdict
from hashwacht.platform.safe_open import FileChanged
from hashwacht.scan.progress import ScanResult

if TYPE_CHECKING:
    from hashwacht.pipeline import Pipeline


@command(
    Example("hashwacht check upload.jpg", "Print the verdict; the exit code is 1 for a match."),
    Example("hashwacht check - < upload.jpg", "Check standard input."),
    Example("hashwacht check --json *.jpg | jq .outcome", "Print one outcome per file."),
    json=True,
)
@files_argument()
def check_command(files: Sequence[bytes]) -> ExitCode:
    """Print the verdict on files, for scripts.

    Nothing is stored.  - reads standard input.  The exit code is 1 if a file matches, else 4 if
    no matcher could be reached, else 3 if a file is undetermined, else 0.
    """
    from hashwacht import bootstrap

    settings = global_options().configuration().settings
    results: list[ScanResult] = []
    answers: list[Answer] = []
    with bootstrap.pipeline(settings, os.environ) as pipeline:
        for name in files:
            result, file_answers = _check(pipeline, name)
            print_result(json_type(result.verdict), to_fields(result), *_lines(result))
            results.append(result)
            answers += file_answers
    return _exit_code(results, answers)


def _check(pipeline: Pipeline, name: bytes) -> tuple[ScanResult, tuple[Answer, ...]]:
    """Return the result for one file and the answers of the matchers."""
    path = display_name(name)
    try:
        with open_input(name) as fd:
            checked = pipeline.check(fd)
    except OSError as error:
        return _unread(path, Reason.UNREADABLE, error.strerror or "cannot be read"), ()
    except FileChanged as error:
        return _unread(path, Reason.CHANGED, error.message), ()
    content = checked.fingerprint
    result = ScanResult((path,), checked.verdict, content.kind, content.size, content.key)
    return result, checked.answers


def _unread(path: bytes, reason: Reason, detail: str) -> ScanResult:
    return ScanResult((path,), Verdict(Outcome.UNDETERMINED, reason=reason, detail=detail))


def _lines(result: ScanResult) -> Iterator[str]:
    yield from result_lines(result)
    if result.verdict.outcome is Outcome.NO_MATCH:
        yield f"{'no match':14}{escape_path(result.paths[0])}"


def _exit_code(results: Sequence[ScanResult], answers: Sequence[Answer]) -> ExitCode:
    """Return the exit code; the matchers count as reached if one of them answered once."""
    outcomes = {result.verdict.outcome for result in results}
    if Outcome.MATCH in outcomes:
        return ExitCode.MATCH
    if answers and all(answer.outcome is Outcome.UNDETERMINED for answer in answers):
        return ExitCode.UNREACHABLE
    return ExitCode.UNDETERMINED if Outcome.UNDETERMINED in outcomes else ExitCode.OK
