"""What came of a decision about a case, place by place.

What requests told about uploads that match late, told with the match.

A case in words: what was found, where, whose, and what was done.  Never any content.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hashwacht.cases.case_json import upload_to_json
from hashwacht.cases.wording import known
from hashwacht.cli.options import this_call
from hashwacht.cli.output import emit, harmless, line
from hashwacht.cli.render.figures import count, many, moment, size
from hashwacht.cli.render.findings import WORD_WIDTH, entries
from hashwacht.core.errors import ExitCode
from hashwacht.core.paths import show
from hashwacht.core.types import Outcome
from hashwacht.core.upload_context import Circumstances, Uploads
from hashwacht.scan.progress import Observer, Progress, Result, Summary


@dataclass
class WithUploads:
    """An observer that adds who uploaded what matches: as JSON at once, as text by ``tell``."""

    inner: Observer
    uploads: Uploads
    as_json: bool
    keys: list[str] = field(default_factory=list)

    def started(self, run: str, roots: tuple[bytes, ...], *, resumed: bool) -> None:
        """Pass it on."""
        self.inner.started(run, roots, resumed=resumed)

    def progress(self, snapshot: Progress) -> None:
        """Pass it on."""
        self.inner.progress(snapshot)

    def result(self, result: Result) -> None:
        """Pass it on, and what requests told."""
        self.inner.result(result)
        if result.verdict.outcome is not Outcome.MATCH:
            return
        found = self.uploads.of(result.key)
        if found and not self.as_json:
            self.keys.append(result.key)
        for told in found if self.as_json else ():
            emit("upload", {"sha256": result.key, **upload_to_json(told)})

    def finished(self, summary: Summary) -> None:
        """Pass it on."""
        self.inner.finished(summary)

    def tell(self) -> None:
        """Print it for people, when the display is over."""
        for key in self.keys:
            for told in self.uploads.of(key):
                line(told_line(key, told))


def told_line(key: str, told: Circumstances) -> str:
    """Say what a request told about an upload of the content *key*."""
    return f"{'uploaded':{WORD_WIDTH}}{harmless(', '.join(_parts(told)))}  (content {key})"


def _parts(told: Circumstances) -> Iterator[str]:
    """Say it in words, what a client chose last."""
    port = f" port {told.port}" if told.port is not None else ""
    yield f"{told.received_at} from {told.address or 'an unknown address'}{port}"
    if told.user:
        yield f"user {told.user}"
    yield f"to {told.path!a}"
    if told.file_name:
        yield f"as {told.file_name!a}"
    if told.declared_type:
        yield f"declared {told.declared_type!a}"


if TYPE_CHECKING:
    from hashwacht.cases.case_json import File
    from hashwacht.core.types import Match
    from hashwacht.storage.cases import Case
    from hashwacht.storage.locations import Place, PlaceState

_WORD_WIDTH = 12


def in_one_line(case: Case, counts: dict[PlaceState, int]) -> str:
    """Say which case it is and how its places stand."""
    states = ", ".join(f"{count(number)} {state}" for state, number in counts.items())
    return harmless(
        f"{case.id:>5}  {case.state:<10}  {moment(case.updated)}  {known(case)}"
        f"  {states or 'no place'}"
    )


def in_full(file: File) -> Iterator[str]:
    """Say everything about a case, a line for each thing."""
    case, counts = file.case, file.counts or {}
    yield f"case {case.id}: {case.state}"
    yield _line("content", f"{case.kind}, {size(case.size)}, SHA-256 {case.key}")
    yield _line("opened", f"{moment(case.opened)}, changed {moment(case.updated)}")
    evidence = case.evidence
    yield from _matches("match", evidence.matches)
    yield from _matches("withdrawn", evidence.withdrawn)
    yield from _matches("suppressed", evidence.suppressed)
    yield from _matches("known good", evidence.suppressed_by)
    for told in file.uploads:
        yield told_line(case.key, told)
    for place in reversed(file.places):
        yield from of_place(place)
    if (left := sum(counts.values()) - len(file.places)) > 0:
        yield _line("", f"and {many(left, 'older place')}")
    for note in file.notes:
        yield _line("note", f"{moment(note.at)} {note.who}: {note.text}")


def of_place(place: Place) -> Iterator[str]:
    """Say how a place stands; the path comes last, so that it can forge nothing before it."""
    account = place.account or ("?" if place.uid is None else str(place.uid))
    acted = f" {moment(place.acted)}" if place.acted else ""
    sealed = f", vault {place.vault}" if place.vault else ""
    yield _line(
        f"place {place.number}",
        f"{place.state}{acted} ({place.rule}: {place.action}){sealed}, found"
        f" {moment(place.found)}, account {account}, root {place.root}",
    )
    yield f"{'':{_WORD_WIDTH}}{show(place.path)}"
    if place.detail:
        yield _line("", place.detail)


def _matches(word: str, matches: Iterable[Match]) -> Iterator[str]:
    for text in entries(matches):
        yield _line(word, text)


def _line(word: str, text: str) -> str:
    return harmless(f"{word:{_WORD_WIDTH}}{text}")


if TYPE_CHECKING:
    from hashwacht.cases.decisions import DecisionResult
    from hashwacht.cases.factory import Workroom
    from hashwacht.storage.cases import Case

_INDENT = " " * 9


def tell_case(found: Workroom, case: Case, done: str) -> None:
    """Tell in a word what was *done*, or the whole case for a program."""
    if this_call().as_json:
        emit("case", found.book.file(case).to_json())
    else:
        line(f"case {case.id}: {done}")


def tell_outcomes(case: Case, outcomes: Iterable[DecisionResult]) -> ExitCode:
    """Tell what came of each place as soon as it is known; exit code 2 if one was not done."""
    ended = ExitCode.OK
    for each in outcomes:
        if each.problem is not None:
            ended = ExitCode.ERROR
        if this_call().as_json:
            _emit(case, each)
        else:
            _write(each)
    return ended


def _write(outcome: DecisionResult) -> None:
    place, problem = outcome.place, outcome.problem
    how = place.state if problem is None else f"NOT DONE, {problem}"
    line(harmless(f"place {place.number}: {how}  ") + show(place.path))
    if problem is not None:
        line(harmless(f"{_INDENT}{problem.advice}"))
    elif outcome.receipt is not None:
        line(f"{_INDENT}receipt {json.dumps(outcome.receipt)}")


def _emit(case: Case, outcome: DecisionResult) -> None:
    from hashwacht.cases.case_json import place_to_json

    problem = outcome.problem
    fields: dict[str, object] = {"case": case.id, "sha256": case.key}
    fields |= place_to_json(outcome.place)
    fields |= {"done": problem is None, "receipt": outcome.receipt}
    if problem is not None:
        fields |= {"problem": problem.problem, "advice": problem.advice}
    emit("place", fields)
