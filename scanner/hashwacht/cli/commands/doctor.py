"""``hashwacht doctor``: is everything set up well, and what to do where it is not."""

from __future__ import annotations

import os

from hashwacht.cli.click_ext import Example, command
from hashwacht.cli.options import global_options
from hashwacht.cli.output import emit, line
from hashwacht.core.errors import ExitCode
from hashwacht.core.text import escape_text
from hashwacht.core.types import Diagnostic


@command(
    Example("hashwacht doctor", "Look at everything, and ask each matcher a harmless question."),
    Example("hashwacht doctor --json | jq 'select(.ok | not)'", "Only what is wrong."),
    json=True,
)
def doctor_command() -> ExitCode:
    """Check configuration, permissions, limits, lists, matchers and decoders.

    Each matcher is asked one harmless question.  Every finding that is not well says what to do
    next; the exit code is then 2.
    """
    from hashwacht.cli.doctor_checks import run_checks

    call = global_options()
    wrong = 0
    for finding in run_checks(call.configuration(), os.environ):
        wrong += not finding.ok
        if call.as_json:
            emit("finding", _fields(finding))
        else:
            _print(finding)
    if not call.as_json:
        line(f"\n{wrong} of these want attention." if wrong else "\nAll is well.")
    return ExitCode.ERROR if wrong else ExitCode.OK


def _print(finding: Diagnostic) -> None:
    mark = "ok  " if finding.ok else "FAIL"
    line(escape_text(f"{mark}  {finding.subject:18}{finding.detail}"))
    if finding.advice and not finding.ok:
        line(escape_text(f"{'':24}{finding.advice}"))


def _fields(finding: Diagnostic) -> dict[str, object]:
    return {
        "subject": finding.subject,
        "ok": finding.ok,
        "detail": finding.detail,
        "advice": finding.advice,
    }
