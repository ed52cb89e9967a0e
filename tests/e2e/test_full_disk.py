"""A disk that fills up during a scan: an error with advice, and nothing lost."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from support.memory_disk import memory_disk
from support.program import Program, objects

MIB = 1 << 20
FILES = 4000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount 24 MiB of memory; skip where that is not permitted."""
    with memory_disk(tmp_path / "small", 24 * MIB) as place:
        yield place


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(FILES):
        path = tmp_path / f"storage/{number % 40}/{number}"
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(b"file %d" % number)
    return tmp_path / "storage"


def leave(disk: Path, space: int) -> Path:
    """Fill a disk until *space* bytes are left; return the file that fills it."""
    ballast = disk / "somebody else's"
    free = os.statvfs(disk)
    ballast.write_bytes(bytes(free.f_bavail * free.f_frsize - space))
    return ballast


def known_numbers(program: Program) -> None:
    """Import a list that contains every hundredth file."""
    digests = (hashlib.sha256(b"file %d" % number).hexdigest() for number in range(0, FILES, 100))
    source = program.home / "list"
    source.write_text("".join(f"sha256 {digest}\n" for digest in digests))
    assert program.run("lists", "import", "known", source).returncode == 0


def test_a_scan_ends_with_advice_and_resumes_when_there_is_space(
    program: Program, small_disk: Path, root: Path
) -> None:
    program.environment["HASHWACHT_STATE_DIR"] = str(small_disk / "state")
    known_numbers(program)
    (program.home / "other").mkdir()
    (program.home / "other/file").write_bytes(b"text")
    assert program.scan(program.home / "other")[0] == 0
    ballast = leave(small_disk, 700_000)
    full = program.run("scan", "--json", "--normal-priority", root)
    assert full.returncode == 2
    *_, error = objects(full.stderr)
    assert error["type"] == "error"
    assert "Free space" in error["advice"]
    assert b"Traceback" not in full.stderr
    [run] = objects(program.run("scans", "--json").stdout)[:1]
    assert run["state"] == "interrupted"
    assert 0 < run["counts"]["files"] < FILES
    result = program.run("scan", "--normal-priority", root)
    assert result.returncode == 2, "the disk is still full: the same advice, no damage"
    assert b"Free space" in result.stderr
    ballast.unlink()
    process_result = program.run("scan", "--json", "--normal-priority", root)
    assert process_result.returncode == 1
    assert b'"resumed": true' in process_result.stderr
    counts = objects(process_result.stdout)[-1]["counts"]
    assert (counts["files"], counts["matches"], counts["undetermined"]) == (FILES, FILES // 100, 0)
    assert (counts["new_matches"], counts["errors"]) == (FILES // 100, 0)
    with closing(sqlite3.connect(small_disk / "state/state.db")) as state:
        assert state.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    lines = objects(full.stdout) + objects(process_result.stdout)
    assert len({line["path"] for line in lines if line["type"] == "match"}) == FILES // 100


def test_a_list_is_not_imported_by_halves(program: Program, small_disk: Path) -> None:
    program.environment["HASHWACHT_STATE_DIR"] = str(small_disk / "state")
    known_numbers(program)
    ballast = leave(small_disk, 300_000)
    source = program.home / "large"
    digests = (hashlib.sha256(b"file %d" % number).hexdigest() for number in range(50_000))
    source.write_text("".join(f"sha256 {digest}\n" for digest in digests))
    full = program.run("lists", "import", "large", source)
    assert full.returncode == 2
    assert b"Traceback" not in full.stderr
    assert b"space" in full.stderr
    ballast.unlink()
    result = program.run("lists", "show")
    assert b"known" in result.stdout
    assert b"large" not in result.stdout
    assert program.run("lists", "verify").returncode == 0
    left = [path for path in (small_disk / "state/lists").rglob("*") if path.stat().st_size > MIB]
    assert not left, "no partial file is left"
    assert program.run("lists", "import", "large", source).returncode == 0
