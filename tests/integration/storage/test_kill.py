"""A writer killed at random moments loses nothing that it acknowledged."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import IO

from hashwacht.core.types import Outcome
from hashwacht.storage.contents import Contents
from hashwacht.storage.files import Files
from hashwacht.storage.runs import Runs, RunState
from hashwacht.storage.sqlite.database import Database
from hashwacht.storage.sqlite.state_directory import lock_holder
from support.processes import PROGRAMS

WRITER = PROGRAMS / "write_batches.py"
FILES_IN_A_BATCH = 20
KILLS = 100


def complete_batches(path: Path, batch: int) -> int:
    """Count the batches from *batch* on; check that the last is complete and the next absent."""
    with closing(Database.open(path)) as database:
        assert lock_holder(path) is None, "the lock ended with its process"
        files, contents = Files(database), Contents(database)
        runs = Runs(database).load_latest()
        if not runs:
            return 0  # killed before its first commit
        (run,) = runs
        assert run.state is RunState.INTERRUPTED
        while files.is_directory_done(b"/srv/%d" % batch, run.id):
            batch += 1
        if batch == 0:
            return 0
        assert run.tally == str(batch - 1)
        assert files.load_directory(b"/srv/%d" % batch) == {}
        last = files.load_directory(b"/srv/%d" % (batch - 1))
        assert len(last) == FILES_IN_A_BATCH
        assert {file.outcome for file in last.values()} == {Outcome.NO_MATCH}
        loaded = contents.load([file.content or 0 for file in last.values()])
        assert len(loaded) == FILES_IN_A_BATCH
        assert all(content.answers for content in loaded.values())
    return batch


def acknowledged(output: IO[bytes], before: int) -> int:
    """Read until the kill; return the last batch that was acknowledged."""
    last = before
    for line in output:
        if line.endswith(b"killed\n"):
            return last
        last = int(line)
    raise AssertionError("the writers' parent has ended")


def test_killed_writers_lose_nothing_acknowledged(
    tmp_path: Path,
) -> None:
    path = tmp_path / "state" / "state.db"
    Database.open(path).close()
    chance = random.Random(20261123)
    last, batches, kills = -1, 0, 0
    with subprocess.Popen(
        [sys.executable, WRITER, path, "--killed"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        # On a busy machine many writers are killed before they write, so more are started.
        while kills < KILLS or batches <= KILLS:
            kills += 1
            parent.stdin.write(b"%f\n" % chance.uniform(0.0, 0.06))
            parent.stdin.flush()
            last = acknowledged(parent.stdout, last)
            batches = complete_batches(path, batches)
            # One batch may be committed but not yet acknowledged.
            assert last + 1 <= batches <= last + 2
            last = batches - 1
        parent.stdin.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        (files,) = connection.execute("SELECT count(*) FROM files").fetchone()
        (contents,) = connection.execute("SELECT count(*) FROM contents").fetchone()
        assert files == contents == batches * FILES_IN_A_BATCH
