"""The HTML report is complete, self-contained, and safe whatever the names contain."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hashwacht.cli.render.findings import MEANING
from hashwacht.cli.render.html_report import render, report_file, write_report
from hashwacht.core.errors import UsageError
from hashwacht.core.types import Reason
from hashwacht.scan.progress import RunCounts
from hashwacht.scan.report import Report

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
        if "style" not in self.open:
            self.seen += data


def test_the_page_needs_nothing_else_and_runs_nothing(report: Report) -> None:
    page = render(report)
    parsed = Page(page)
    assert not parsed.tags & {"script", "img", "iframe", "object", "embed", "link", "base", "form"}
    assert not parsed.attributes & OUTSIDE
    assert not any(name.startswith("on") for name in parsed.attributes)
    assert "url(" not in page
    assert "@import" not in page
    assert "default-src 'none'" in page


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
