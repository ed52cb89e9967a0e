"""What one line says about the matches of a case."""

from __future__ import annotations

import pytest

from hashwacht.cases.case_rendering import match_summary
from hashwacht.core.types import Match, Outcome, Signal
from hashwacht.storage.cases import Case, CaseState, Evidence

MATCH = Match("hashlist", Signal("md5", "00" * 16), 0, "csam", "police")
GOOD = Match("hashlist", Signal("md5", "00" * 16), 0, "known-good", "themes", known_good=True)


@pytest.mark.parametrize(
    ("evidence", "line"),
    [
        (Evidence(Outcome.MATCH, (MATCH,)), "csam known to hashlist/police"),
        (Evidence(Outcome.MATCH, (MATCH,), (MATCH,)), "csam known to hashlist/police"),
        (
            Evidence(Outcome.NO_MATCH, (), (MATCH,)),
            "csam was known to hashlist/police, withdrawn",
        ),
        (
            Evidence(Outcome.NO_MATCH, (), (MATCH,), (MATCH,), (GOOD,)),
            "csam known to hashlist/police, suppressed by a known-good list",
        ),
        (Evidence(Outcome.NO_MATCH), "no match"),
    ],
)
def test_match_that_no_longer_holds_is_shown_as_such(evidence: Evidence, line: str) -> None:
    case = Case(1, "ab" * 32, 3, "image/png", CaseState.OPEN, 0.0, 0.0, evidence)
    assert match_summary(case) == line
