"""The output of the observers of a run, and its destination."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest

from hashwacht.cli.render.findings import MEANING, result_lines
from hashwacht.cli.render.summary import summary_lines
from hashwacht.cli.run_session import JsonObserver, LogObserver
from hashwacht.core.paths import from_json
from hashwacht.core.types import Match, Outcome, Reason, Signal, Verdict
from hashwacht.scan.progress import Observer, Progress, ScanResult, Summary
from hashwacht.storage.cases import match_to_json
from hashwacht.storage.runs import RunState

SHOWN = r"/srv/a\x1b]0;owned\x07\x0a<script>alert(1)</script>\xff.jpg"


def watched(observer: Observer, results: tuple[ScanResult, ...], summary: Summary) -> None:
    observer.started("12", (b"/srv",), resumed=True)
    for result in results:
        observer.result(result)
    observer.finished(summary)


def test_a_log_separates_results_from_other_messages(
    results: tuple[ScanResult, ...], summary: Summary
) -> None:
    out, log = io.StringIO(), io.StringIO()
    watched(LogObserver(out, log), results, summary)
    assert log.getvalue() == "run 12 resumed: /srv\n"
    assert out.getvalue().splitlines() == [
        "match         csam  hashlist/police #17  pdq 4 bits off  /srv/near.jpg",
        rf"match         csam  eokm  md5 equal  {SHOWN}",
        "undetermined  over-limit (pdq: 90 megapixels)  /srv/big.png",
        "suppressed    csam  eokm  md5 equal, set aside by hashlist/wordpress  /srv/logo.gif",
        "finished after 1m 15s: 12,345 files (9.0 GiB), 2,345 read (3.0 GiB), 10,000 unchanged",
        "  match                      2   1 new; eokm 1, hashlist/police 1",
        "  no match              12,336",
        "  undetermined               7   over-limit 4, unanswered 3",
        f"{'':19}over-limit: {MEANING[Reason.OVER_LIMIT]}",
        f"{'':19}unanswered: {MEANING[Reason.UNANSWERED]}",
        "  suppressed                 1   suppressed by a known-good list",
        "  unlistable                 1   directories that could not be listed",
        "  excluded                  20   by rule",
    ]


def test_a_log_shows_the_progress_once_a_minute(snapshot: Progress) -> None:
    log = io.StringIO()
    observer = LogObserver(io.StringIO(), log)
    for seconds in (1, 59, 60, 90, 119, 120.5, 179):
        observer.progress(replace(snapshot, elapsed=seconds))
    assert [line.split(":")[0] for line in log.getvalue().splitlines()] == [
        "scanning for 1m 00s",
        "scanning for 2m 00s",
    ]
    assert log.getvalue().endswith(
        "12,345 files (9.0 GiB), 210 files/s, 52.5 MiB/s, 2 matches, 7 undetermined,"
        " about 46.4s left, in /srv/www/x\n"
    )


def test_every_json_line_is_a_versioned_object_and_paths_survive(
    results: tuple[ScanResult, ...], summary: Summary, snapshot: Progress
) -> None:
    out, log = io.StringIO(), io.StringIO()
    observer = JsonObserver(out, log)
    observer.progress(snapshot)
    watched(observer, results, summary)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert {problem["v"] for problem in lines} == {1}
    assert [problem["type"] for problem in lines] == [
        "match",
        "match",
        "undetermined",
        "suppressed",
        "summary",
    ]
    for line, result in zip(lines, results, strict=False):
        assert from_json(line) == result.paths[0]
        assert tuple(from_json(path) for path in line["paths"]) == result.paths
    assert lines[-1]["reasons"] == {"over-limit": 4, "unanswered": 3}
    assert lines[-1]["counts"]["files"] == 12345
    assert [json.loads(line)["type"] for line in log.getvalue().splitlines()] == [
        "progress",
        "started",
    ]


def test_json_progress_comes_once_a_second(snapshot: Progress) -> None:
    log = io.StringIO()
    observer = JsonObserver(io.StringIO(), log)
    for tenths in range(31):
        observer.progress(replace(snapshot, elapsed=tenths / 10))
    assert len(log.getvalue().splitlines()) == 4


def test_the_value_of_a_matched_signal_is_never_shown(results: tuple[ScanResult, ...]) -> None:
    for result in results:
        for match in (*result.verdict.matches, *result.verdict.suppressed):
            text = json.dumps(match_to_json(match)) + "".join(result_lines(result))
            assert match.signal.value not in text
            assert match.signal.type in text


@pytest.mark.parametrize(
    ("distance", "variant", "text"),
    [
        (0, "", "pdq equal"),
        (1, "", "pdq 1 bit off"),
        (None, "", "pdq near"),
        (7, "frame:12", "pdq of frame:12 7 bits off"),
        (0, "quick", "pdq equal"),
        (7, "frame:12/quick", "pdq of frame:12 7 bits off"),
    ],
)
def test_the_distance_is_shown_where_it_is_known(
    distance: int | None, variant: str, text: str
) -> None:
    match = Match("hma", Signal("pdq", "ff", 90, variant), distance, "csam")
    (line,) = result_lines(ScanResult((b"/x",), Verdict(Outcome.MATCH, (match,))))
    assert text in line


def test_a_withdrawn_match_is_reported() -> None:
    result = ScanResult((b"/x",), Verdict(Outcome.NO_MATCH), before=Outcome.MATCH)
    assert list(result_lines(result)) == ["withdrawn     it matched before  /x"]


def test_several_signals_of_one_entry_share_a_line() -> None:
    entry = ("hashlist", 0, "csam", "police", "17")
    signals = (Signal("md5", "ff"), Signal("pdq", "ee", 90))
    matches = tuple(Match(entry[0], signal, *entry[1:]) for signal in signals)
    (line,) = result_lines(ScanResult((b"/x",), Verdict(Outcome.MATCH, matches)))
    assert line == "match         csam  hashlist/police #17  md5 equal, pdq equal  /x"


@pytest.mark.parametrize("reason", [Reason.UNANSWERED, Reason.REFUSED, Reason.NOT_JUDGED])
def test_an_outage_is_counted_not_logged_for_every_file(reason: Reason) -> None:
    out = io.StringIO()
    LogObserver(out, io.StringIO()).result(
        ScanResult((b"/x",), Verdict(Outcome.UNDETERMINED, reason=reason))
    )
    assert out.getvalue() == ""


def test_a_service_cannot_write_to_the_terminal() -> None:
    match = Match("hma", Signal("pdq", "ff"), 3, "cs\x1bam", "ba\nnk", "\u202e1")
    (line,) = result_lines(ScanResult((b"/x",), Verdict(Outcome.MATCH, (match,))))
    assert line.isprintable()


def test_every_path_of_a_content_is_reported() -> None:
    match = Match("hashlist", Signal("md5", "ff"), 0, "csam")
    verdict = Verdict(Outcome.MATCH, (match,))
    assert len(list(result_lines(ScanResult((b"/a", b"/b"), verdict)))) == 2
    assert "no path today" in "".join(result_lines(ScanResult((), verdict, key="cc")))


def test_an_interrupted_run_says_how_it_goes_on(summary: Summary) -> None:
    last = list(summary_lines(replace(summary, state=RunState.INTERRUPTED)))[-1]
    assert "to resume run" in last
