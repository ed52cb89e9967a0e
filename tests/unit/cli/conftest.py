"""Results and summaries of every kind, for the renderers."""

from __future__ import annotations

from math import sin

import pytest

from hashwacht.core.types import Match, Outcome, Reason, Signal, Verdict
from hashwacht.scan.progress import Phase, Progress, RunCounts, ScanResult, Summary
from hashwacht.scan.report import (
    DirectoryRow,
    KindRow,
    MatcherRow,
    Report,
    RunInfo,
    ThroughputSample,
)
from hashwacht.storage.runs import RunState

PDQ = Signal("pdq", "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22", 90)
MD5 = Signal("md5", "d41d8cd98f00b204e9800998ecf8427e")
HOSTILE = b"/srv/a\x1b]0;owned\x07\n<script>alert(1)</script>\xff.jpg"


@pytest.fixture
def near() -> ScanResult:
    """Return a match of a similar picture."""
    match = Match("hashlist", PDQ, 4, "csam", "police", "17")
    return ScanResult(
        (b"/srv/near.jpg",), Verdict(Outcome.MATCH, (match,)), "image/jpeg", 1000, "aa"
    )


@pytest.fixture
def hostile() -> ScanResult:
    """Return a match whose file name attacks terminals and pages."""
    match = Match("eokm", MD5, 0, "csam")
    return ScanResult((HOSTILE,), Verdict(Outcome.MATCH, (match,)), "image/png", 10, "bb")


@pytest.fixture
def undetermined() -> ScanResult:
    """Return the result of a picture without a verdict."""
    verdict = Verdict(Outcome.UNDETERMINED, reason=Reason.OVER_LIMIT, detail="pdq: 90 megapixels")
    return ScanResult((b"/srv/big.png",), verdict, "image/png", 1 << 20, "cc")


@pytest.fixture
def suppressed() -> ScanResult:
    """Return a match that a known-good list suppressed."""
    match = Match("eokm", MD5, 0, "csam")
    good = Match("hashlist", MD5, 0, "known-good", "wordpress", known_good=True)
    verdict = Verdict(Outcome.NO_MATCH, suppressed=(match,), suppressed_by=(good,))
    return ScanResult((b"/srv/logo.gif",), verdict, "image/gif", 10, "dd")


@pytest.fixture
def counts() -> RunCounts:
    """Return the figures of a run."""
    return RunCounts(
        files=12345,
        bytes=9 << 30,
        read=2345,
        read_bytes=3 << 30,
        unchanged=10000,
        matches=2,
        new_matches=1,
        suppressed=1,
        undetermined=7,
        errors=1,
        excluded=20,
        lookups=6000,
    )


@pytest.fixture
def snapshot(counts: RunCounts) -> Progress:
    """Return the progress of a run that is still active."""
    return Progress(counts, Phase.WALKING, 75.0, 210.4, 55e6, 20000, 46.4, b"/srv/www/x")


@pytest.fixture
def summary(counts: RunCounts) -> Summary:
    """Return the summary of a finished run."""
    reasons = {Reason.OVER_LIMIT: 4, Reason.UNANSWERED: 3}
    lists = {"hashlist/police": 1, "eokm": 1}
    return Summary("12", RunState.FINISHED, 75.2, counts, reasons, lists)


@pytest.fixture
def results(
    near: ScanResult, hostile: ScanResult, undetermined: ScanResult, suppressed: ScanResult
) -> tuple[ScanResult, ...]:
    """Return one result of each kind."""
    return near, hostile, undetermined, suppressed


@pytest.fixture
def report(results: tuple[ScanResult, ...], counts: RunCounts, summary: Summary) -> Report:
    """Return the report of a run with every kind of result."""
    facts = RunInfo(
        id="12",
        state=RunState.FINISHED,
        roots=(b"/srv/www", HOSTILE),
        started_at=1_795_456_800.0,
        finished_at=1_795_456_875.0,
        elapsed=75.2,
        version="0.1.0",
        resumed=1,
        recipe=("md5/1", "sha1/1", "pdq/1"),
    )
    kinds = [("image/jpeg", 9000), ("image/png", 2000), ("", 400), ("text/<b>html", 300)]
    kinds += [(f"application/x-{number}", 60 - number) for number in range(11)]
    return Report(
        run=facts,
        counts=counts,
        verdicts={Outcome.MATCH: 2, Outcome.UNDETERMINED: 7, Outcome.NO_MATCH: 12336},
        reasons=summary.reasons,
        kinds=tuple(KindRow(kind, files, files * 300_000) for kind, files in kinds),
        throughput=tuple(
            ThroughputSample(at, 180 + 60 * sin(at / 7), 4e7 + 2e7 * sin(at / 5))
            for at in range(75)
        ),
        directories=tuple(
            DirectoryRow(b"/srv/www/customer-%d/wp-content/uploads" % n, 90 - n, 4 << 20, 9.5 / n)
            for n in range(1, 9)
        ),
        matchers=(
            MatcherRow("hashlist", "5f3a", 2345, 1, 0),
            MatcherRow("eokm", "", 2345, 2, 3),
        ),
        matches=results[:2],
        suppressed=results[3:],
        undetermined=results[2:3],
    )
