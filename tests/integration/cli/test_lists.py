"""Imports as an operator sees them: what is accepted, left out, or damaged."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from support.program import Program, objects

EMPTY = hashlib.md5(b"").hexdigest()


@pytest.fixture
def site(program: Program) -> Path:
    """Create a site with empty files and a listed one."""
    directory = program.home / "site"
    directory.mkdir()
    for name in ("__init__.py", ".gitkeep", "index.html"):
        (directory / name).touch()
    (directory / "known.txt").write_text("known file")
    return directory


def test_empty_files_do_not_match_a_list_that_contains_them(program: Program, site: Path) -> None:
    lines = f"{EMPTY}\n{1:032x}\n".encode()
    result = program.run("lists", "import", "police", "--type", "md5", "-", given=lines)
    assert b"left out: md5 of the empty file, 1 entry" in result.stdout
    assert b"md5 of the empty file" in program.run("lists", "show").stdout
    assert program.run("scan", site).returncode == 0
    words = ("lists", "import", "police", "--type", "md5", "-", "--keep-ubiquitous")
    assert program.run(*words, given=lines).returncode == 0
    assert b"as asked: md5 of the empty file" in program.run("lists", "show").stdout
    assert program.run("scan", site).returncode == 1


def test_column_in_another_spelling_is_imported(program: Program, site: Path) -> None:
    sha1 = hashlib.sha1(b"known file").hexdigest()
    table = f"MD5,SHA-1,FileName\n{1:032x},{sha1},a.jpg\n".encode()
    result = program.run("lists", "import", "x", "-", "--json", given=table)
    (imported,) = objects(result.stdout)
    assert imported["types"] == {"md5": 1, "sha1": 1}
    assert imported["columns"] == {"MD5": "md5", "SHA-1": "sha1", "FileName": None}
    assert program.run("check", site / "known.txt").returncode == 1


def test_dry_run_shows_what_would_be_imported(program: Program) -> None:
    table = f"MD5,Size\n{1:032x},3\n{EMPTY},0\n".encode()
    result = program.run("lists", "import", "x", "-", "--dry-run", given=table)
    assert result.returncode == 0
    for text in (b"x: 1 entry (md5 1)", b"column Size: not imported", b"Nothing was changed"):
        assert text in result.stdout
    assert b"No hash list is installed" in program.run("lists", "show").stdout
    assert b"lists import" not in program.run("audit", "show").stdout


def test_malformed_lines_are_grouped_by_reason(program: Program) -> None:
    lines = f"md5 {1:032x}\n" + "md5 x\n" * 30 + "md6 y\n"
    result = program.run("lists", "import", "x", "-", given=lines.encode())
    assert result.returncode == 2
    assert result.stderr.count(b"not a value of type md5") == 1
    assert b"line 2 and 29 more" in result.stderr
    assert b"line 32" in result.stderr


def test_software_reference_is_recommended_as_known_good(program: Program) -> None:
    table = f'"SHA-1","MD5","CRC32","FileName","FileSize"\n"{2:040x}","{1:032x}","0","a",1\n'
    result = program.run("lists", "import", "nsrl", "-", given=table.encode())
    assert b"Import it with --known-good" in result.stdout
    words = ("lists", "import", "nsrl", "-", "--known-good")
    assert b"Import it with" not in program.run(*words, given=table.encode()).stdout


def test_scan_names_a_damaged_list(program: Program, site: Path) -> None:
    program.run("lists", "import", "police", "-", given=f"md5 {1:032x}\n".encode())
    (index,) = (program.home / "state" / "lists").glob("police@*/md5.index")
    index.write_bytes(index.read_bytes()[:-1])
    result = program.run("scan", site)
    assert result.returncode in {3, 4}
    assert b"hash list 'police': the length of md5.index has changed" in result.stdout
