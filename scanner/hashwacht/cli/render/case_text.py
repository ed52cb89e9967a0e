"""What came of a decision about a case, place by place.

What requests told about uploads that match late, told with the match.

A case in words: what was found, where, whose, and what was done.  Never any content.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hashwacht.cases.case_rendering import match_summary, upload_to_json
from hashwacht.cli.options import global_options
from hashwacht.cli.output import emit, line
from hashwacht.cli.render.findings import WORD_WIDTH, match_lines
from hashwacht.core.errors import ExitCode
from hashwacht.core.paths import escape_path
from hashwacht.core.text import count, escape_text, format_size, format_time, plural
from hashwacht.core.types import Outcome
from hashwacht.core.upload_context import UploadContext, UploadContextStore
from hashwacht.scan.progress import Observer, Progress, ScanResult, Summary


@dataclass
class UploadContextObserver:
    """An observer that adds who uploaded what matches: as JSON at once, as text by ``tell``."""

    inner: Observer
    uploads: UploadContextStore
    as_json: bool
    keys: list[str] = field(default_factory=list)

    def started(self, run: str, roots: tuple[bytes, ...], *, resumed: bool) -> None:
        """Pass it on."""
        self.inner.started(run, roots, resumed=resumed)

    def progress(self, snapshot: Progress) -> None:
        """Pass it on."""
        self.inner.progress(snapshot)

    def result(self, result: ScanResult) -> None:
        """Pass it on, and what requests told."""
        self.inner.result(result)
        if result.verdict.outcome is not Outcome.MATCH:
            return
        found = self.uploads.load(result.key)
        if found and not self.as_json:
            self.keys.append(result.key)
        for context in found if self.as_json else ():
            emit("upload", {"sha256": result.key, **upload_to_json(context)})

    def finished(self, summary: Summary) -> None:
        """Pass it on."""
        self.inner.finished(summary)

    def print_contexts(self) -> None:
        """Print it for people, when the display is over."""
        for key in self.keys:
            for context in self.uploads.load(key):
                line(upload_line(key, context))


def upload_line(key: str, context: UploadContext) -> str:
    """Return one line about an upload of the content *key*."""
    return f"{'uploaded':{WORD_WIDTH}}{escape_text(', '.join(_parts(context)))}  (content {key})"


def _parts(context: UploadContext) -> Iterator[str]:
    """Yield the facts in words; those chosen by the client come last."""
    port = f" port {context.port}" if context.port is not None else ""
    yield f"{context.received_at} from {context.address or 'an unknown address'}{port}"
    if context.user:
        yield f"user {context.user}"
    yield f"to {context.path!a}"
    if context.file_name:
        yield f"as {context.file_name!a}"
    if context.declared_type:
        yield f"declared {context.declared_type!a}"


if TYPE_CHECKING:
    from hashwacht.cases.case_rendering import CaseFile
    from hashwacht.core.types import Match
    from hashwacht.storage.cases import Case
    from hashwacht.storage.locations import FileLocation, LocationState

_WORD_WIDTH = 12


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
    for place in reversed(file.locations):
        yield from file_lines(place)
    if (left := sum(counts.values()) - len(file.locations)) > 0:
        yield _line("", f"and {plural(left, 'older file')}")
    for note in file.notes:
        yield _line("note", f"{format_time(note.at)} {note.author}: {note.text}")


def file_lines(place: FileLocation) -> Iterator[str]:
    """Yield the lines about one file; its path comes last, so that it cannot forge the others."""
    account = place.account or ("?" if place.uid is None else str(place.uid))
    acted = f" {format_time(place.acted_at)}" if place.acted_at else ""
    sealed = f", vault {place.vault}" if place.vault else ""
    yield _line(
        f"file {place.number}",
        f"{place.state}{acted} ({place.rule}: {place.action}){sealed}, found"
        f" {format_time(place.found_at)}, account {account}, root {place.root}",
    )
    yield f"{'':{_WORD_WIDTH}}{escape_path(place.path)}"
    if place.detail:
        yield _line("", place.detail)


def _matches(word: str, matches: Iterable[Match]) -> Iterator[str]:
    for text in match_lines(matches):
        yield _line(word, text)


def _line(word: str, text: str) -> str:
    return escape_text(f"{word:{_WORD_WIDTH}}{text}")


if TYPE_CHECKING:
    from hashwacht.cases.decisions import DecisionResult
    from hashwacht.cases.factory import CaseServices
    from hashwacht.storage.cases import Case

_INDENT = " " * 9


def print_case(found: CaseServices, case: Case, done: str) -> None:
    """Print what was *done* in a word, or the whole case as JSON."""
    if global_options().as_json:
        emit("case", found.ledger.case_file(case).to_json())
    else:
        line(f"case {case.id}: {done}")


def print_outcomes(case: Case, outcomes: Iterable[DecisionResult]) -> ExitCode:
    """Print the result for each file as it is known; exit code 2 if one failed."""
    ended = ExitCode.OK
    for each in outcomes:
        if each.failure is not None:
            ended = ExitCode.ERROR
        if global_options().as_json:
            _emit(case, each)
        else:
            _write(each)
    return ended


def _write(outcome: DecisionResult) -> None:
    place, problem = outcome.location, outcome.failure
    how = place.state if problem is None else f"NOT DONE, {problem}"
    line(escape_text(f"file {place.number}: {how}  ") + escape_path(place.path))
    if problem is not None:
        line(escape_text(f"{_INDENT}{problem.advice}"))
    elif outcome.receipt is not None:
        line(f"{_INDENT}receipt {json.dumps(outcome.receipt)}")


def _emit(case: Case, outcome: DecisionResult) -> None:
    from hashwacht.cases.case_rendering import location_to_json

    problem = outcome.failure
    fields: dict[str, object] = {"case": case.id, "sha256": case.key}
    fields |= location_to_json(outcome.location)
    fields |= {"done": problem is None, "receipt": outcome.receipt}
    if problem is not None:
        fields |= {"problem": problem.reason, "advice": problem.advice}
    emit("file", fields)
