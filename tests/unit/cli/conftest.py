"""Results and summaries of every sort, for whatever shows them."""

from __future__ import annotations

import pytest

from hashwacht.scan.progress import Counts, Phase, Progress, Result, Summary
from hashwacht.state.runs import RunState
from hashwacht.types import Match, Outcome, Reason, Signal, Verdict

PDQ = Signal("pdq", "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22", 90)
MD5 = Signal("md5", "d41d8cd98f00b204e9800998ecf8427e")
HOSTILE = b"/srv/a\x1b]0;owned\x07\n<script>alert(1)</script>\xff.jpg"


@pytest.fixture
def near() -> Result:
    """A picture like a known one."""
    match = Match("hashlist", PDQ, 4, "csam", "police", "17")
    return Result((b"/srv/near.jpg",), Verdict(Outcome.MATCH, (match,)), "image/jpeg", 1000, "aa")


@pytest.fixture
def hostile() -> Result:
    """A known file under a name that attacks terminals and pages."""
    match = Match("eokm", MD5, 0, "csam")
    return Result((HOSTILE,), Verdict(Outcome.MATCH, (match,)), "image/png", 10, "bb")


@pytest.fixture
def undetermined() -> Result:
    """A picture that nobody could judge."""
    verdict = Verdict(Outcome.UNDETERMINED, reason=Reason.OVER_LIMIT, detail="pdq: 90 megapixels")
    return Result((b"/srv/big.png",), verdict, "image/png", 1 << 20, "cc")


@pytest.fixture
def suppressed() -> Result:
    """A match that a known-good list set aside."""
    match = Match("eokm", MD5, 0, "csam")
    good = Match("hashlist", MD5, 0, "known-good", "wordpress", known_good=True)
    verdict = Verdict(Outcome.NO_MATCH, suppressed=(match,), suppressed_by=(good,))
    return Result((b"/srv/logo.gif",), verdict, "image/gif", 10, "dd")


@pytest.fixture
def counts() -> Counts:
    """Figures of a run."""
    return Counts(12345, 9 << 30, 2345, 3 << 30, 10000, 2, 1, 7, 1, 20, 6000)


@pytest.fixture
def snapshot(counts: Counts) -> Progress:
    """A run in full swing."""
    return Progress(counts, Phase.WALKING, 75.0, 210.4, 55e6, 20000, 46.4, b"/srv/www/x")


@pytest.fixture
def summary(counts: Counts) -> Summary:
    """A run that was finished."""
    reasons = {Reason.OVER_LIMIT: 4, Reason.UNANSWERED: 3}
    lists = {"hashlist/police": 1, "eokm": 1}
    return Summary("12", RunState.FINISHED, 75.2, counts, reasons, lists)
