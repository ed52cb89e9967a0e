"""Backups and exports of the audit log, taken while something writes."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from pathlib import Path

import pytest

from hashwacht.audit.export import exported_segments
from hashwacht.audit.log import AuditEvent, AuditLog
from support.cases import CaseHarness
from support.program import Program, objects


def test_a_backup_is_storage_and_log_of_one_moment(program: Program, harness: CaseHarness) -> None:
    stop = threading.Event()

    def open_cases() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            harness.apply(harness.file(f"{number}.png", b"content %d" % number))

    writer = threading.Thread(target=open_cases)
    writer.start()
    try:
        for _ in range(3):
            result = program.run("backup", program.home / "backups", "--json")
            assert result.returncode == 0, result.stderr
            (entry,) = objects(result.stdout)
            directory = Path(str(entry["directory"]))
            log = AuditLog(directory / "audit.jsonl")
            assert log.verify() is None
            opened = sum(entry.act == AuditEvent.CASE_OPENED for entry in log.entries())
            with sqlite3.connect(directory / "state.db") as database:
                ((cases,),) = database.execute("SELECT count(*) FROM cases")
                assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            database.close()
            assert cases == opened
            shutil.rmtree(directory)
    finally:
        stop.set()
        writer.join()
    assert cases > 0


def test_a_restored_backup_has_the_cases_and_no_contradiction(
    program: Program, harness: CaseHarness
) -> None:
    harness.apply(harness.file("a.png"))
    (entry,) = objects(program.run("backup", program.home / "backups", "--json").stdout)
    state = program.home / "state"
    for file in Path(str(entry["directory"])).iterdir():
        assert file.stat().st_mode & 0o077 == 0
    (state / "state.db").unlink()
    for file in Path(str(entry["directory"])).iterdir():
        shutil.copy(file, state / file.name)
    assert program.run("audit", "verify").returncode == 0
    (case,) = objects(program.run("cases", "list", "--json").stdout)
    assert case["files_total"] == 1


def test_old_backups_are_removed_and_nothing_else(program: Program, harness: CaseHarness) -> None:
    harness.apply(harness.file("a.png"))
    backups = program.home / "backups"
    for name in ("20200101T000000Z", "20200102T000000Z", "other", "20200101"):
        (backups / name).mkdir(parents=True)
    result = program.run("backup", "--keep", "2", "backups")
    assert result.returncode == 0, result.stderr
    names = {path.name for path in backups.iterdir()}
    assert len(names) == 4
    assert {"20200102T000000Z", "other", "20200101"} < names


def test_a_backup_that_fails_leaves_nothing(program: Program) -> None:
    result = program.run("backup", "backups")
    assert result.returncode == 2
    assert b"no storage yet" in result.stderr
    assert not (program.home / "backups").exists()


def test_exported_files_put_together_are_the_log(program: Program, harness: CaseHarness) -> None:
    exports, log = program.home / "exports", program.home / "state" / "audit.jsonl"
    for number in range(3):
        harness.apply(harness.file(f"{number}.png", b"content %d" % number))
        assert program.run("audit", "export", "exports").returncode == 0
    assert b"No new entries" in program.run("audit", "export", "exports").stdout
    segments = exported_segments(exports)
    assert len(segments) == 3
    assert b"".join(segment.path.read_bytes() for segment in segments) == log.read_bytes()
    assert program.run("audit", "export", "exports", "--keep", "1").returncode == 0
    assert exported_segments(exports) == segments[-1:]
    harness.apply(harness.file("new.png", b"new content"))
    (entry,) = objects(program.run("audit", "export", "exports", "--json").stdout)
    assert entry["first"] == segments[-1].last + 1


@pytest.mark.parametrize("change", ["replaced", "cut"])
def test_a_log_that_does_not_continue_the_export_is_an_error(
    program: Program, harness: CaseHarness, change: str
) -> None:
    harness.apply(harness.file("a.png"))
    assert program.run("audit", "export", "exports").returncode == 0
    log = program.home / "state" / "audit.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-1]))
    if change == "replaced":
        AuditLog(log).append("noted", "somebody else", {})
    result = program.run("audit", "export", "exports")
    assert result.returncode == 2
    assert b"replaced or cut" in result.stderr
