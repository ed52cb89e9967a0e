"""What came of a decision about a case, place by place."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from hashwacht.cli.call import this_call
from hashwacht.cli.output import emit, harmless, line
from hashwacht.core.errors import ExitCode
from hashwacht.core.paths import show

if TYPE_CHECKING:
    from hashwacht.cases.decisions import Outcome
    from hashwacht.cases.workroom import Workroom
    from hashwacht.storage.cases import Case

_INDENT = " " * 9


def tell_case(found: Workroom, case: Case, done: str) -> None:
    """Tell in a word what was *done*, or the whole case for a program."""
    if this_call().as_json:
        emit("case", found.book.file(case).to_json())
    else:
        line(f"case {case.id}: {done}")


def tell_outcomes(case: Case, outcomes: Iterable[Outcome]) -> ExitCode:
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


def _write(outcome: Outcome) -> None:
    place, problem = outcome.place, outcome.problem
    how = place.state if problem is None else f"NOT DONE, {problem}"
    line(harmless(f"place {place.number}: {how}  ") + show(place.path))
    if problem is not None:
        line(harmless(f"{_INDENT}{problem.advice}"))
    elif outcome.receipt is not None:
        line(f"{_INDENT}receipt {json.dumps(outcome.receipt)}")


def _emit(case: Case, outcome: Outcome) -> None:
    from hashwacht.cases.case_json import place_to_json

    problem = outcome.problem
    fields: dict[str, object] = {"case": case.id, "sha256": case.key}
    fields |= place_to_json(outcome.place)
    fields |= {"done": problem is None, "receipt": outcome.receipt}
    if problem is not None:
        fields |= {"problem": problem.problem, "advice": problem.advice}
    emit("place", fields)
