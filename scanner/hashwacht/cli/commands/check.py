"""``hashwacht check``: one verdict for each file, for scripts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from hashwacht.cli.click_ext import Example, command
from hashwacht.cli.options import display_name, global_options, open_input
from hashwacht.cli.output import emit, line
from hashwacht.cli.render.findings import json_type, result_lines, to_fields
from hashwacht.core.errors import ExitCode
from hashwacht.core.paths import escape_path
from hashwacht.core.types import Answer, Outcome, Reason, Verdict
from hashwacht.platform.safe_open import FileChanged
from hashwacht.scan.progress import ScanResult

if TYPE_CHECKING:
    from hashwacht.pipeline import Pipeline


@command(
    Example("hashwacht check upload.jpg", "Print the verdict; the exit code tells it too."),
    Example("hashwacht check - < upload.jpg", "The same for what comes on standard input."),
    Example("hashwacht check --json *.jpg | jq .outcome", "One object for each file."),
    json=True,
)
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=bytes)
)
def check_command(files: Sequence[bytes]) -> ExitCode:
    """Print the verdict on files, for scripts.

    Nothing is stored.  - is standard input.  The exit code is 1 if a file matches, else 4 if no
    matcher could be reached, else 3 if one is undetermined, else 0.
    """
    from hashwacht import bootstrap

    call = global_options()
    settings = call.configuration().settings
    results: list[ScanResult] = []
    answers: list[Answer] = []
    with bootstrap.pipeline(settings, os.environ) as pipeline:
        for name in files:
            result, given = _checked(pipeline, name)
            _tell(result, as_json=call.as_json)
            results.append(result)
            answers += given
    return _exit_code(results, answers)


def _checked(pipeline: Pipeline, name: bytes) -> tuple[ScanResult, tuple[Answer, ...]]:
    """Take one file all the way; give as well what each matcher answered."""
    path = display_name(name)
    try:
        with open_input(name) as fd:
            found = pipeline.check(fd)
    except OSError as error:
        return _unread(path, Reason.UNREADABLE, error.strerror or "cannot be read"), ()
    except FileChanged as error:
        return _unread(path, Reason.CHANGED, error.message), ()
    content = found.fingerprint
    result = ScanResult((path,), found.verdict, content.kind, content.size, content.key)
    return result, found.answers


def _unread(path: bytes, reason: Reason, detail: str) -> ScanResult:
    return ScanResult((path,), Verdict(Outcome.UNDETERMINED, reason=reason, detail=detail))


def _tell(result: ScanResult, *, as_json: bool) -> None:
    if as_json:
        emit(json_type(result.verdict), to_fields(result))
        return
    told = list(result_lines(result))
    if result.verdict.outcome is Outcome.NO_MATCH:
        told.append(f"{'no match':14}{escape_path(result.paths[0])}")
    for text in told:
        line(text)


def _exit_code(results: Sequence[ScanResult], answers: Sequence[Answer]) -> ExitCode:
    """Return the worst exit code; a matcher counts as reached if it answered once."""
    outcomes = {each.verdict.outcome for each in results}
    if Outcome.MATCH in outcomes:
        return ExitCode.MATCH
    if answers and all(each.outcome is Outcome.UNDETERMINED for each in answers):
        return ExitCode.UNREACHABLE
    return ExitCode.UNDETERMINED if Outcome.UNDETERMINED in outcomes else ExitCode.OK
