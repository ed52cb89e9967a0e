"""The storage of the demo, file by file: exact verdicts as text, as JSON and on the page."""

from __future__ import annotations

import html
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from demo.sample_storage import (
    HOSTILE_NAME,
    LINK,
    good_list,
    known_list,
    later_list,
    write_storage,
)
from hashwacht.core.paths import escape_path, from_json
from support.program import Program

BY_ALL = {"md5", "pdq", "phash64"}
BY_LOOKS = {"pdq", "phash64"}

MATCHED = {
    b"alice/holiday.jpg": BY_ALL,
    b"alice/holiday copy.jpg": BY_ALL,
    LINK: BY_ALL,
    b"carol/" + HOSTILE_NAME: BY_ALL,
    b"bob/a.webp": BY_LOOKS,
    b"bob/thumbs/a.png": BY_LOOKS,
    b"bob/b.jpg": BY_LOOKS,
    b"bob/c.jpg": BY_LOOKS,
    b"bob/e.gif": BY_LOOKS,
    b"bob/f.jpg": {"phash64"},
}
"""What the first list knows, and by which signals.  ``bob/d.jpg`` is cropped too much."""

EXPECTED = {
    **dict.fromkeys(MATCHED, "match"),
    b"dave/broken.jpg": "undetermined",
    b"wp/default.jpg": "suppressed",
}
"""The expected results; every other file has no match."""


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generate storage and lists once, because that takes longest."""
    place = tmp_path_factory.mktemp("painted")
    (place / "storage").mkdir()
    write_storage(place / "storage")
    for name, content in (
        ("police", known_list()),
        ("harmless", good_list()),
        ("newcomers", later_list()),
    ):
        (place / name).write_bytes(content)
    return place


@pytest.fixture
def root(tmp_path: Path, generated: Path) -> Path:
    subprocess.run(
        ["cp", "-a", generated / "storage", tmp_path], check=True
    )  # including its hard link
    return tmp_path / "storage"


@pytest.fixture
def imported(program: Program, generated: Path) -> Program:
    """Import the list that contains some of the files, and the known-good list."""
    for name, *options in (("police",), ("harmless", "--known-good")):
        assert program.run("lists", "import", *options, name, generated / name).returncode == 0
    return program


def by_path(findings: list[dict[str, Any]], root: Path) -> dict[bytes, dict[str, Any]]:
    """Return the JSON lines of files by their paths below the root."""
    lines: dict[bytes, dict[str, Any]] = {}
    for line in findings:
        for path in line.get("paths", ()):
            below = from_json(path).removeprefix(bytes(root) + b"/")
            assert below not in lines, "reported once"
            lines[below] = line
    return lines


def signals(line: dict[str, Any]) -> set[str]:
    return {match["signal"]["type"] for match in line["matches"]}


def test_every_exhibit_gets_its_verdict(imported: Program, root: Path) -> None:
    code, lines = imported.scan(root)
    assert code == 1
    findings = by_path(lines, root)
    assert {path: line["type"] for path, line in findings.items()} == EXPECTED
    for path, types in MATCHED.items():
        assert signals(findings[path]) == types, path
        assert {match["list"] for match in findings[path]["matches"]} == {"police"}
        assert {match["id"] for match in findings[path]["matches"]} == {"K-1"}
        assert {match["category"] for match in findings[path]["matches"]} == {"csam"}
    [frame] = {match["signal"]["variant"] for match in findings[b"bob/e.gif"]["matches"]}
    assert frame == "frame:7"
    assert findings[b"dave/broken.jpg"]["reason"] == "damaged"
    set_aside = findings[b"wp/default.jpg"]
    assert set_aside["matches"] == []
    assert {match["list"] for match in set_aside["suppressed"]} == {"police"}
    assert {match["list"] for match in set_aside["suppressed_by"]} == {"harmless"}
    counts = lines[-1]["counts"]
    files = [path for path in root.rglob("*") if path.is_file()]
    assert counts["files"] == len(files) == counts["read"] + 1, "a hard link is read once"
    assert (counts["matches"], counts["undetermined"], counts["suppressed"]) == (10, 1, 1)
    assert counts["new_matches"] == 10, "other names of a new match are new too"
    assert lines[-1]["lists"] == {"hashlist/police": 10}
    code, repeated = imported.scan(root)
    counts = repeated[-1]["counts"]
    assert (code, counts["read"], counts["matches"], counts["new_matches"]) == (1, 0, 10, 0)
    assert {path: line["type"] for path, line in by_path(repeated, root).items()} == EXPECTED


def test_no_value_of_a_list_is_ever_printed(imported: Program, root: Path, generated: Path) -> None:
    text = (generated / "police").read_text() + (generated / "newcomers").read_text()
    values = re.findall("[0-9a-f]{16,}", text)
    assert len(values) == 9
    page = imported.home / "report.html"
    runs = [
        imported.run("-v", "scan", "--normal-priority", "--report", page, root),
        imported.run("-v", "scan", "--json", "--full", root),
        imported.run("recheck", "--json"),
        imported.run("lists", "show"),
        imported.run("lists", "verify"),
        imported.run("doctor"),
    ]
    output = b"".join(run.stdout + run.stderr for run in runs) + page.read_bytes()
    assert not [value for value in values if value.encode() in output]


def test_a_new_list_matches_after_the_storage_is_gone(
    imported: Program, root: Path, generated: Path
) -> None:
    imported.scan(root)
    result = imported.run("lists", "import", "newcomers", generated / "newcomers")
    assert result.returncode == 0
    root.rename(root.with_name("unmounted"))
    code, lines = imported.recheck()
    assert code == 1
    findings = by_path(lines, root)
    assert {path: line["type"] for path, line in findings.items()} == {b"carol/new.jpg": "match"}
    assert signals(findings[b"carol/new.jpg"]) == BY_ALL
    assert {match["list"] for match in findings[b"carol/new.jpg"]["matches"]} == {"newcomers"}
    assert (lines[-1]["counts"]["read"], lines[-1]["counts"]["new_matches"]) == (0, 1)


def test_a_hostile_name_is_one_harmless_line_everywhere(imported: Program, root: Path) -> None:
    page = imported.home / "report.html"
    hostile = bytes(root) + b"/carol/" + HOSTILE_NAME
    result = imported.run("scan", "--normal-priority", "--report", page, root)
    name = escape_path(hostile)
    lines = result.stdout.decode().splitlines()
    assert [line for line in lines if line.startswith("match") and line.endswith("  " + name)]
    assert not [line for line in lines if "all clear" in line and name not in line]
    for output in (result.stdout, result.stderr, page.read_bytes()):
        assert b"\x1b" not in output
        assert b"\r" not in output
        output.decode("utf-8")
    assert html.escape(name) in page.read_text()
    [line] = [
        line
        for line in imported.scan(root)[1]
        for path in line.get("paths", ())
        if from_json(path) == hostile
    ]
    assert line["path"] == name
    checked = imported.run("check", hostile)
    assert checked.returncode == 1
    assert name.encode() in checked.stdout
    assert b"\x1b" not in checked.stdout


def test_the_report_is_self_contained_and_has_no_picture(imported: Program, root: Path) -> None:
    page = imported.home / "report.html"
    assert imported.run("scan", "--normal-priority", "--report", page, root).returncode == 1
    text = page.read_text()
    for tag in ("<img", "<script src", "<link", "<iframe", "url(", "@import", "data:"):
        assert tag not in text.lower()
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    for path, word in EXPECTED.items():
        assert html.escape(escape_path(bytes(root) + b"/" + path)) in text, (path, word)
    assert page.stat().st_mode & 0o077 == 0


def test_nothing_in_the_storage_is_changed(imported: Program, root: Path) -> None:
    def look() -> dict[Path, tuple[int, ...]]:
        paths = [root, *root.rglob("*")]
        return {
            path: (*(s := os.lstat(path))[:7], s.st_mtime_ns, s.st_ctime_ns, s.st_atime_ns)
            for path in paths
        }

    before = look()
    imported.scan(root)
    assert look() == before
