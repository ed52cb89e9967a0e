"""Accepting a content that cannot be judged: what it changes, and what it never changes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from support.program import Program, objects

UNDECODABLE = b"\0\0\0\x0cjP  \r\n\x87\n" + b"x" * 200
KEY = hashlib.sha256(UNDECODABLE).hexdigest()


@pytest.fixture
def root(program: Program) -> Path:
    """Make a picture without a decoder, where a list has picture hashes."""
    root = program.home / "root"
    root.mkdir()
    (root / "picture.jp2").write_bytes(UNDECODABLE)
    lines = f"md5 {'ab' * 16}\npdq {'f1e2d3c4b5a69788' * 4}\n".encode()
    result = program.run("lists", "import", "mixed", "-", given=lines)
    assert result.returncode == 0, result.stderr
    return root


def test_an_accepted_content_no_longer_counts_unless_it_matches(
    program: Program, root: Path
) -> None:
    assert program.scan(root)[0] == 3
    (listed,) = objects(program.run("undetermined", "list", "--json").stdout)
    assert (listed["sha256"], listed["reason"], listed["accepted"]) == (KEY, "no-decoder", None)
    result = program.run("undetermined", "accept", KEY, "--reason", "A manual of ours.")
    assert result.returncode == 0, result.stderr
    code, printed = program.scan(root)
    assert (code, [entry["type"] for entry in printed]) == (0, ["summary"])
    assert printed[0]["counts"]["accepted"] == 1
    entries = objects(program.run("audit", "show", "--json").stdout)
    (entry,) = [entry for entry in entries if entry["act"] == "undetermined-accepted"]
    assert entry["facts"] == {
        "sha256": KEY,
        "undetermined": "no-decoder",
        "reason": "A manual of ours.",
    }
    result = program.run("lists", "import", "exact", "-", given=f"sha256 {KEY}\n".encode())
    assert result.returncode == 0, result.stderr
    assert program.scan(root)[0] == 1


def test_an_acceptance_can_be_withdrawn(program: Program, root: Path) -> None:
    assert program.scan(root)[0] == 3
    assert program.run("undetermined", "accept", KEY, "--reason", "It is ours.").returncode == 0
    assert program.run("undetermined", "withdraw", KEY, "--reason", "No.").returncode == 0
    assert program.scan(root)[0] == 3
    again = program.run("undetermined", "withdraw", KEY, "--reason", "No.")
    assert again.returncode == 2
    unknown = program.run("undetermined", "accept", "0" * 64, "--reason", "No.")
    assert unknown.returncode == 2
    assert b"undetermined list" in unknown.stderr
