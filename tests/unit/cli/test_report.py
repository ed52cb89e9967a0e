"""The HTML report is complete, self-contained, and safe whatever the names contain."""

from __future__ import annotations

import csv
import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hashwacht.cli.render.csv_report import COLUMNS, csv_path, write_csv
from hashwacht.cli.render.findings import MEANING
from hashwacht.cli.render.html_report import render, report_file, write_report
from hashwacht.core.errors import UsageError
from hashwacht.core.types import Match, Outcome, Reason, Signal, Verdict
from hashwacht.scan.progress import RunCounts, ScanResult
from hashwacht.scan.report import Report
from support.browser.webdriver import browser, lacking

OUTSIDE = {"src", "href", "srcset", "action", "poster", "background", "xlink:href"}
VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """Collects what a browser would display."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.seen = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.seen += data


def test_the_page_needs_nothing_else_and_runs_only_its_script(report: Report) -> None:
    page = render(report)
    parsed = Page(page)
    assert not parsed.tags & {"img", "iframe", "object", "embed", "link", "base", "form"}
    assert not parsed.attributes & OUTSIDE
    assert not any(name.startswith("on") for name in parsed.attributes)
    assert "url(" not in page
    assert "@import" not in page
    assert "default-src 'none'" in page
    (script,) = re.findall("<script>(.*?)</script>", page, re.DOTALL)
    digest = b64encode(sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in unescape(page)


def test_the_page_is_well_formed(report: Report) -> None:
    assert Page(render(report)).open == []


def test_everything_that_was_found_is_on_the_page(report: Report) -> None:
    text = Page(render(report)).seen
    for expected in (
        "/srv/near.jpg",
        r"/srv/a\x1b]0;owned\x07\x0a<script>alert(1)</script>\xff.jpg",
        "hashlist / police",
        "pdq 4 bits off",
        "over-limit (pdq: 90 megapixels)",
        "hashlist / wordpress",
        "image/jpeg",
        "text/<b>html",
        "3 other kinds",
        "/srv/www/customer-8/wp-content/uploads",
        "files per second",
        "12,345",
        MEANING[Reason.UNANSWERED],
        "resumed 1 time",
    ):
        assert expected in text


def test_no_value_of_a_signal_is_on_the_page(report: Report) -> None:
    page = render(report)
    for result in (*report.matches, *report.suppressed):
        for match in (*result.verdict.matches, *result.verdict.suppressed):
            assert match.signal.value not in page


def test_what_is_left_off_is_said(report: Report) -> None:
    assert "7 in all; the first 1 are shown" in Page(render(report)).seen


def test_a_run_that_saw_nothing_has_a_page_too(report: Report) -> None:
    run = replace(report.run, roots=(), elapsed=0.0, finished_at=None)
    text = Page(render(Report(run, RunCounts(), {}))).seen
    assert "stored fingerprints" in text
    assert "Every file got an answer." in text


def test_every_reason_has_a_meaning() -> None:
    assert set(MEANING) == set(Reason)


def test_the_file_is_private_and_replaces_an_older_one(report: Report, tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")
    target.chmod(0o644)
    write_report(report, target)
    assert target.stat().st_mode & 0o777 == 0o600
    assert target.read_text() == render(report)
    assert list(tmp_path.iterdir()) == [target]


def test_an_impossible_place_is_refused_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a directory"):
        report_file(tmp_path)
    with pytest.raises(UsageError, match="no directory that can be written to"):
        report_file(tmp_path / "none" / "report.html")
    assert report_file(tmp_path / "report.html") == tmp_path / "report.html"


@pytest.fixture
def many(report: Report) -> Report:
    """Return a report of files that match by three signals each."""
    signals = [Signal("md5", "0" * 32), Signal("sha1", "0" * 40), Signal("pdq", "0" * 64, 90)]
    matches = tuple(Match("hashlist", signal, 0, "csam", "police", "17") for signal in signals)
    results = tuple(
        ScanResult((b"/srv/%d.jpg" % number,), Verdict(Outcome.MATCH, matches), "image/jpeg", size)
        for number, size in enumerate((3000, 20, 100_000))
    )
    return replace(report, matches=results)


def test_a_file_has_one_row_whatever_number_of_signals_match(many: Report) -> None:
    assert render(many).count("/srv/0.jpg") == 1


def test_the_csv_has_one_row_for_each_file(
    many: Report, hostile: ScanResult, tmp_path: Path
) -> None:
    formula = Match("eokm", Signal("md5", "1" * 32), 0, "csam", "=cmd()", "@x")
    odd = ScanResult((b'/a,"b"\n.jpg', b"/c"), Verdict(Outcome.MATCH, (formula,)))
    path = csv_path(tmp_path / "report.html")
    write_csv([*many.matches, hostile, odd], path)
    assert path.name == "report.html.csv"
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text()
    assert all(line.isprintable() for line in text.splitlines())
    rows = list(csv.DictReader(text.splitlines()))
    assert len(rows) == 6
    assert tuple(rows[0]) == COLUMNS
    assert (rows[0]["path"], rows[0]["signal"]) == (
        "/srv/0.jpg",
        "md5 equal; sha1 equal; pdq equal",
    )
    assert (rows[4]["list"], rows[4]["id"]) == ("'=cmd()", "'@x")
    assert [row["path"] for row in rows[4:]] == ['/a,"b"\\x0a.jpg', "/c"]
    assert "0" * 32 not in text
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(bool(lacking()), reason=f"not installed: {lacking()}")
def test_a_browser_sorts_and_filters_the_rows(many: Report, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    write_report(many, page)
    paths = (
        "return [...document.querySelectorAll('table.rows')[0].tBodies[0].rows]"
        ".filter(row => !row.hidden).map(row => row.cells[row.cells.length - 1].textContent.trim())"
    )
    size = "[...document.querySelectorAll('table.rows')[0].tHead.rows[0].cells].at(-2).click();"
    with browser(tmp_path / "profile") as window:
        window.open(page.as_uri())
        assert window.run(paths) == ["/srv/0.jpg", "/srv/1.jpg", "/srv/2.jpg"]
        assert window.run(size + paths) == ["/srv/1.jpg", "/srv/0.jpg", "/srv/2.jpg"]
        assert window.run(size + paths) == ["/srv/2.jpg", "/srv/0.jpg", "/srv/1.jpg"]
        word = "const box = document.querySelector('input[type=search]'); box.value = 'JPEG 0.jpg';"
        assert window.run(f"{word} box.dispatchEvent(new Event('input')); {paths}") == [
            "/srv/0.jpg"
        ]
        injected = (
            "const script = document.createElement('script');"
            "script.textContent = 'window.ran = 1';"
            "document.body.append(script); return window.ran ?? null"
        )
        assert window.run(injected) is None
