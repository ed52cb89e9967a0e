"""Lists that end before everything is shown report that they do."""

from __future__ import annotations

import pytest

from support.cases import CaseHarness
from support.program import Program, objects

UNDECODABLE = b"\0\0\0\x0cjP  \r\n\x87\n" + b"x" * 200
"""A picture without a decoder."""


@pytest.fixture
def three(program: Program, harness: CaseHarness) -> Program:
    """Three cases, the last one with two files; acts and alerts follow from them."""
    for number in range(3):
        harness.apply(harness.file(f"{number}.png", b"content %d" % number))
    harness.apply(harness.file("again.png", b"content 2"))
    for path in ("a", "b"):
        program.run("scan", path)
    (program.home / "empty").mkdir()
    for _ in range(3):
        program.run("scan", "empty")
    return program


@pytest.mark.parametrize(
    "command", ["cases list", "cases show 3", "audit show", "scans", "alerts list"]
)
def test_a_list_that_is_cut_reports_it(three: Program, command: str, harness: CaseHarness) -> None:
    for notice in harness.notices:
        harness.store.outbox.record(notice, channels=("mail",))
    text = three.run(*command.split(), "-n", "1")
    assert text.returncode == 0, text.stderr
    assert b"there are more" in text.stderr
    assert b"-n" in text.stderr
    document = three.run(*command.split(), "-n", "1", "--json")
    *rows, cut = objects(document.stdout)
    assert (cut["type"], cut["shown"], len(rows)) == ("cut", 1, 1)
    assert b"there are more" in document.stderr
    complete = three.run(*command.split(), "-n", "1000", "--json")
    assert complete.stderr == b""
    assert "cut" not in {entry["type"] for entry in objects(complete.stdout)}


def test_only_the_nearest_option_is_suggested(program: Program) -> None:
    result = program.run("cases", "list", "--staet", "open")
    assert result.returncode == 2
    assert b"--state" in result.stderr
    assert b"--since" not in result.stderr
    assert b"--state-dir" not in result.stderr


def test_undetermined_contents_and_paths_that_are_cut_are_reported(program: Program) -> None:
    root = program.home / "root"
    root.mkdir()
    for copies in (3, 4):
        for number in range(copies):
            (root / f"{copies}-{number}.jp2").write_bytes(UNDECODABLE + b"%d" % copies)
    given = f"md5 {'ab' * 16}\npdq {'f1e2d3c4b5a69788' * 4}\n".encode()
    assert program.run("lists", "import", "pictures", "-", given=given).returncode == 0
    assert program.scan(root)[0] == 3
    complete = program.run("undetermined", "list", "--json")
    assert complete.stderr == b""
    shown = [(len(entry["paths"]), entry["has_more_paths"]) for entry in objects(complete.stdout)]
    assert sorted(shown) == [(3, False), (3, True)]
    result = program.run("undetermined", "list", "-n", "1", "--json")
    content, cut = objects(result.stdout)
    assert (content["type"], cut["type"], cut["shown"]) == ("undetermined", "cut", 1)
    assert b"there are more" in result.stderr
    assert program.run("undetermined", "list").stdout.count(b"and more paths") == 1
