"""Cases as text: what matched, where, in which account, and what was done.  Never any content."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from hashwacht.cases.case_rendering import location_to_json, match_summary, site_summary
from hashwacht.cli.output import print_result
from hashwacht.cli.render.findings import WORD_WIDTH, match_lines
from hashwacht.core.errors import ExitCode
from hashwacht.core.paths import escape_path
from hashwacht.core.text import count, escape_text, format_size, format_time, plural
from hashwacht.core.upload_context import UploadContext

if TYPE_CHECKING:
    from hashwacht.cases.case_rendering import CaseFile
    from hashwacht.cases.decisions import DecisionResult
    from hashwacht.cases.service import CaseServices
    from hashwacht.core.types import Match
    from hashwacht.storage.case_reports import CaseReport
    from hashwacht.storage.cases import Case
    from hashwacht.storage.locations import FileLocation, LocationState

_WORD_WIDTH = 12
_INDENT = " " * 9


def upload_line(key: str, context: UploadContext) -> str:
    """Return one line about an upload of the content *key*."""
    facts = ", ".join(_upload_facts(context))
    return f"{'uploaded':{WORD_WIDTH}}{escape_text(facts)}  (content {key})"


def _upload_facts(context: UploadContext) -> Iterator[str]:
    """Yield the facts; those chosen by the client come last."""
    port = f" port {context.port}" if context.port is not None else ""
    yield f"{context.received_at} from {context.address or 'an unknown address'}{port}"
    if context.submitter_uid is not None:
        yield f"by a program of uid {context.submitter_uid}"
    if context.event:
        yield f"event {context.event}"
    if context.user:
        yield f"user {context.user}"
    if context.path:
        yield f"to {context.path!a}"
    if context.file_name:
        yield f"as {context.file_name!a}"
    if context.declared_type:
        yield f"declared {context.declared_type!a}"


def case_summary(case: Case, counts: dict[LocationState, int]) -> str:
    """Return the case in one line, with the states of its files."""
    states = ", ".join(f"{count(number)} {state}" for state, number in counts.items())
    return escape_text(
        f"{case.id:>5}  {case.state:<10}  {format_time(case.updated)}  {match_summary(case)}"
        f"  {states or 'no file'}"
    )


def case_details(file: CaseFile) -> Iterator[str]:
    """Yield the lines that describe a case."""
    case, counts = file.case, file.counts or {}
    yield f"case {case.id}: {case.state}"
    yield _line("content", f"{case.kind}, {format_size(case.size)}, SHA-256 {case.key}")
    yield _line("opened", f"{format_time(case.opened)}, changed {format_time(case.updated)}")
    evidence = case.evidence
    yield from _matches("match", evidence.matches)
    yield from _matches("withdrawn", evidence.withdrawn)
    yield from _matches("suppressed", evidence.suppressed)
    yield from _matches("known good", evidence.suppressed_by)
    for context in file.uploads:
        yield upload_line(case.key, context)
    for location in reversed(file.locations):
        yield from file_lines(location)
    if (left := sum(counts.values()) - len(file.locations)) > 0:
        yield _line("", f"and {plural(left, 'older file')}")
    for report in reversed(file.reports):
        yield _line("report", report_summary(report))
    for note in file.notes:
        yield _line("note", f"{format_time(note.at)} {note.author}: {note.text}")


def report_summary(report: CaseReport) -> str:
    """Return number, kind, state and remark of a report in one line."""
    ended = f" {format_time(report.ended_at)}" if report.ended_at else ""
    by = report.ended_by or report.approved_by or report.created_by
    scope = f" ({report.scope})" if report.scope else ""
    remark = f": {report.remark}" if report.remark else ""
    return (
        f"{report.id:>5}  {report.kind} {report.language}{scope}  {report.state}{ended} by"
        f" {by}{remark}"
    )


def file_lines(location: FileLocation) -> Iterator[str]:
    """Yield the lines about one file; its path is last, so that it cannot forge the others."""
    account = location.account or ("?" if location.uid is None else str(location.uid))
    acted = f" {format_time(location.acted_at)}" if location.acted_at else ""
    sealed = f", vault {location.vault}" if location.vault else ""
    yield _line(
        f"file {location.number}",
        f"{location.state}{acted} ({location.rule}: {location.action}){sealed}, found"
        f" {format_time(location.found_at)}, account {account}{site_summary(location)}, root"
        f" {location.root}",
    )
    yield f"{'':{_WORD_WIDTH}}{escape_path(location.path)}"
    if location.detail:
        yield _line("", location.detail)


def _matches(word: str, matches: Iterable[Match]) -> Iterator[str]:
    for text in match_lines(matches):
        yield _line(word, text)


def _line(word: str, text: str) -> str:
    return escape_text(f"{word:{_WORD_WIDTH}}{text}")


def print_case(services: CaseServices, case: Case, result: str) -> None:
    """Print the *result* of a command for a case; the whole case as JSON."""
    fields = services.ledger.case_file(case).to_json()
    print_result("case", fields, f"case {case.id}: {result}")


def print_decisions(case: Case, results: Iterable[DecisionResult]) -> ExitCode:
    """Print the result for each file as soon as it is known; exit code 2 if one failed."""
    exit_code = ExitCode.OK
    for result in results:
        if result.failure is not None:
            exit_code = ExitCode.ERROR
        print_result("file", _decision_fields(case, result), *_decision_lines(result))
    return exit_code


def _decision_lines(result: DecisionResult) -> Iterator[str]:
    location, failure = result.location, result.failure
    state = location.state if failure is None else f"NOT DONE, {failure}"
    yield f"file {location.number}: {state}  {escape_path(location.path)}"
    if failure is not None:
        yield f"{_INDENT}{failure.advice}"
    elif result.receipt is not None:
        yield f"{_INDENT}receipt {json.dumps(result.receipt)}"


def _decision_fields(case: Case, result: DecisionResult) -> dict[str, object]:
    failure = result.failure
    fields: dict[str, object] = {"case": case.id, "sha256": case.key}
    fields |= location_to_json(result.location)
    fields |= {"done": failure is None, "receipt": result.receipt}
    if failure is not None:
        fields |= {"problem": failure.reason, "advice": failure.advice}
    return fields
