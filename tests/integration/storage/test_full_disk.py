"""On a full disk: an error with advice, no damage, a recorded interruption, a resumable run."""

from __future__ import annotations

import itertools
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from hashwacht.core.errors import StorageFull
from hashwacht.core.types import FileId, Fingerprint
from hashwacht.storage.files import Files
from hashwacht.storage.runs import Run, Runs, RunState
from hashwacht.storage.sqlite.database import Database
from hashwacht.storage.sqlite.state_directory import RESERVE_BYTES
from support.stored import record_contents

MIB = 1024 * 1024
FILES_IN_A_BATCH = 200


def write(database: Database, run: Run, batch: int) -> None:
    """Commit one batch of new contents, their names, and the tally."""
    prints = [
        Fingerprint(f"{batch:032x}{number:032x}", 1, "image/jpeg", ("pdq/1",), ())
        for number in range(FILES_IN_A_BATCH)
    ]
    with database.transaction():
        numbers = record_contents(database, prints, 1.0)
        looks = [
            (key.encode(), FileId(1, number, 1, 1, 1), 1, number, None)
            for key, number in numbers.items()
        ]
        Files(database).record(b"/srv/%d" % batch, run.id, looks)
        Files(database).mark_directory_done(b"/srv/%d" % batch, run.id)
        Runs(database).record_progress(run.id, str(batch), float(batch))


def write_until_full(database: Database, run: Run, first: int) -> int:
    """Write batches until the disk is full; return the number of the failed one."""
    batches = []

    def write_all() -> None:
        for batch in itertools.count(first):
            write(database, run, batch)
            batches.append(batch)

    with pytest.raises(StorageFull) as caught:
        write_all()
    assert "Free space" in caught.value.advice
    assert caught.value.retryable
    return first + len(batches)


def save_until_full(runs: Runs, run: Run, tally: str) -> None:
    """Use up the space that failed transactions left in the log, until the smallest write fails."""

    def save_all() -> None:
        for time in range(100_000):
            runs.record_progress(run.id, tally, float(time))

    with pytest.raises(StorageFull):
        save_all()


def fill(path: Path) -> None:
    """Use all remaining space."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(65536))
        except OSError:
            pass
        while True:
            try:
                file.write(bytes(1))
            except OSError:
                break


def check(database: Database, run: Run, batches: int) -> None:
    """Check that all *batches* are stored, the next one is not, and the database is sound."""
    files = Files(database)
    for batch in range(batches):
        assert files.is_directory_done(b"/srv/%d" % batch, run.id)
    last = files.load_directory(b"/srv/%d" % (batches - 1))
    assert len(last) == FILES_IN_A_BATCH
    assert files.load_directory(b"/srv/%d" % batches) == {}
    assert database.thread_connection().execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_run_interrupted_by_a_full_disk_is_resumed(
    small_disk: Path,
) -> None:
    path, ballast = small_disk / "state" / "state.db", small_disk / "ballast"
    ballast.write_bytes(bytes(4 * MIB))
    with closing(Database.open(path)) as database:
        runs = Runs(database)
        run = runs.start("scan", [b"/srv"], "{}", 0.0)
        full = write_until_full(database, run, 0)
        assert full > 0, "some batches fitted"
        fill(small_disk / "somebody else's")
        full = write_until_full(database, run, full)
        tally = str(full - 1)
        save_until_full(runs, run, tally)
        check(database, run, full)
        runs.finish(run.id, RunState.INTERRUPTED, tally, 9.0)
        assert (runs.load_latest()[0].state, runs.load_latest()[0].finished) == (
            RunState.INTERRUPTED,
            9.0,
        )
        # The same connection works again once there is space.
        (small_disk / "somebody else's").unlink()
        ballast.unlink()
        write(database, run, full)
    os.sync()
    with closing(Database.open(path)) as database:
        assert database.reserve.path.stat().st_size == RESERVE_BYTES, "held again"
        resumable = Runs(database).load_resumable("scan", [b"/srv"], "{}")
        assert resumable is not None
        assert resumable.tally == str(full)
        write(database, resumable, full + 1)
        check(database, run, full + 2)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def test_a_database_is_created_once_a_full_disk_has_space(small_disk: Path) -> None:
    (small_disk / "state").mkdir()
    fill(small_disk / "ballast")
    with pytest.raises(StorageFull) as caught:
        Database.open(small_disk / "state" / "state.db")
    assert "Free space" in caught.value.advice
    (small_disk / "ballast").unlink()
    Database.open(small_disk / "state" / "state.db").close()
