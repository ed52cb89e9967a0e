"""A case in words: what was found, where, whose, and what was done.  Never any content."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from hashwacht.cases.wording import known
from hashwacht.cli.render.figures import count, many, moment, size
from hashwacht.cli.render.findings import entries
from hashwacht.cli.output import harmless
from hashwacht.cli.render.uploads import told_line
from hashwacht.core.paths import show

if TYPE_CHECKING:
    from hashwacht.cases.case_json import File
    from hashwacht.storage.cases import Case
    from hashwacht.storage.locations import Place, PlaceState
    from hashwacht.core.types import Match

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
