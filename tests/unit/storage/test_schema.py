"""Migrations: every released schema becomes the present one, and a crash changes nothing."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from hashwacht.core.errors import StorageBusy, StorageError, StorageFull
from hashwacht.core.types import FileId, Outcome
from hashwacht.storage.answers import AnswerRequirement, StoredAnswers
from hashwacht.storage.contents import Contents
from hashwacht.storage.files import Files
from hashwacht.storage.runs import Runs, RunState
from hashwacht.storage.sqlite.database import Database
from hashwacht.storage.sqlite.migration import snapshots
from hashwacht.storage.sqlite.schema import APPLICATION_ID, STEPS
from hashwacht.storage.sqlite.state_directory import DAEMON_LOCK, RunLock
from support.memory_disk import memory_disk
from support.processes import PROGRAMS

NEXT = (
    "CREATE TABLE cases (id INTEGER PRIMARY KEY, content INTEGER NOT NULL)",
    "INSERT INTO cases SELECT content, content FROM answers WHERE outcome = 1",
)


def plain(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


def version(path: Path) -> int:
    with closing(plain(path)) as connection:
        (number,) = connection.execute("PRAGMA user_version").fetchone()
    return int(number)


def schema(path: Path) -> set[str]:
    with closing(plain(path)) as connection:
        rows = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
        return {" ".join(sql.split()) for (sql,) in rows}


def stored(path: Path, number: int) -> None:
    """Write the database as a release with schema *number* left it."""
    path.parent.mkdir(mode=0o700)
    text = (Path(__file__).parent / f"schema-{number}.sql").read_text()
    with closing(plain(path)) as connection:
        connection.executescript(text)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {number}")


def test_there_is_a_stored_database_for_every_schema() -> None:
    names = {path.name for path in Path(__file__).parent.glob("schema-*.sql")}
    assert names == {f"schema-{number + 1}.sql" for number in range(len(STEPS))}


@pytest.mark.parametrize("number", range(1, len(STEPS) + 1))
def test_a_stored_database_of_every_schema_is_migrated(path: Path, number: int) -> None:
    stored(path, number)
    fresh = path.with_name("fresh.db")
    Database.open(fresh).close()
    with closing(Database.open(path)) as database:
        file = Files(database).load_directory(b"/srv/\xff")[b"one\n.jpg"]
        assert file.id == FileId(64769, 2**64 - 1, 12, -1, 2**63)
        content = Contents(database).load([file.content or 0])[1]
        assert [str(signal)[:8] for signal in content.fingerprint.signals] == [
            "sha256:a",
            "pdq:bbbb",
        ]
        assert content.answers[0].matches[0].id == "entry 7"
        assert content.outcome is Outcome.MATCH
        requirements = {"hashlist": AnswerRequirement("2", 0.0)}
        assert StoredAnswers(database).load_stale(requirements, after=0, limit=9) == [1, 2]
        assert [run.state for run in Runs(database).load_latest()] == [RunState.INTERRUPTED]
    assert version(path) == len(STEPS)
    assert schema(path) == schema(fresh), "a released step must never change"


def test_an_older_database_is_migrated_and_keeps_its_rows(path: Path) -> None:
    stored(path, 1)
    Database.open(path, steps=(STEPS[0], NEXT)).close()
    assert version(path) == 2
    with closing(plain(path)) as connection:
        assert connection.execute("SELECT * FROM cases").fetchall() == [(1, 1)]


def test_a_failed_step_leaves_the_old_version(path: Path) -> None:
    stored(path, 1)
    before = schema(path)
    with pytest.raises(StorageError):
        Database.open(path, steps=(STEPS[0], (*NEXT, "CREATE TABLE runs (id)")))
    assert version(path) == 1
    assert schema(path) == before


def test_a_killed_migration_leaves_the_old_version(path: Path) -> None:
    stored(path, 1)
    before = schema(path)
    program = PROGRAMS / "die_while_migrating.py"
    died = subprocess.run([sys.executable, program, path], timeout=30, check=False)
    assert died.returncode == -9
    assert version(path) == 1
    assert schema(path) == before
    Database.open(path, steps=(STEPS[0], NEXT)).close()
    assert version(path) == 2


def test_a_newer_database_is_refused_untouched(path: Path) -> None:
    Database.open(path, steps=(STEPS[0], NEXT)).close()
    with pytest.raises(StorageError, match="newer version of Hashwacht") as caught:
        Database.open(path, steps=STEPS[:1])
    assert "Upgrade" in caught.value.advice
    assert "backup" in caught.value.advice, "there is no snapshot"
    assert version(path) == 2


def way_back(path: Path, number: int) -> str:
    """Return the command that the release with schema *number* advises."""
    with pytest.raises(StorageError, match="newer version of Hashwacht") as caught:
        Database.open(path, steps=STEPS[:number])
    return caught.value.advice.split("`")[1]


@pytest.mark.parametrize("number", range(1, len(STEPS)))
def test_a_downgrade_returns_to_the_snapshot(path: Path, number: int) -> None:
    """The former release refuses the database and advises a command, which works."""
    stored(path, number)
    before = schema(path)
    with closing(Database.open(path)) as database:
        Runs(database).start("scan", [b"/later"], "{}", 1.0)
    subprocess.run(way_back(path, number), shell=True, check=True)
    assert version(path) == number
    assert schema(path) == before
    with closing(plain(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (1,)
    assert path.stat().st_mode & 0o777 == 0o600
    with closing(Database.open(path)) as database:
        assert len(Runs(database).load_latest()) == 1


def test_two_snapshots_are_kept(path: Path) -> None:
    stored(path, 1)
    for number in range(2, len(STEPS) + 1):
        Database.open(path, steps=STEPS[:number]).close()
    assert sorted(snapshots(path)) == [len(STEPS) - 2, len(STEPS) - 1]
    assert not [*path.parent.glob("*.new")]


def test_a_new_database_has_no_snapshot(path: Path) -> None:
    Database.open(path).close()
    assert not snapshots(path)


def test_the_older_release_keeps_its_database_while_it_runs(path: Path) -> None:
    stored(path, 1)
    with RunLock.acquire(path, DAEMON_LOCK):
        with pytest.raises(StorageBusy) as caught:
            Database.open(path)
        assert "systemctl restart" in caught.value.advice
        assert version(path) == 1
    Database.open(path).close()


@pytest.mark.alone
def test_without_space_for_a_snapshot_nothing_changes(tmp_path: Path) -> None:
    with memory_disk(tmp_path / "disk", 32 << 20) as disk:
        path = disk / "state" / "state.db"
        stored(path, 1)
        with pytest.raises(StorageFull) as caught:
            Database.open(path)
        assert "Free 64" in caught.value.advice
        assert version(path) == 1


def test_a_database_of_another_program_is_refused_untouched(path: Path) -> None:
    path.parent.mkdir()
    with closing(plain(path)) as connection:
        connection.execute("CREATE TABLE bookmarks (url)")
    with pytest.raises(StorageError, match="not a Hashwacht database") as caught:
        Database.open(path)
    assert "of its own" in caught.value.advice
    assert schema(path) == {"CREATE TABLE bookmarks (url)"}
