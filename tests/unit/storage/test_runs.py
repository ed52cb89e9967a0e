"""Runs are listed, resumed and ended, and only one is active at a time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hashwacht.core.errors import StorageBusy, StorageError
from hashwacht.storage.runs import Runs, RunState
from hashwacht.storage.sqlite.database import Database
from hashwacht.storage.sqlite.state_directory import LockHolder, RunLock, lock_holder, lock_path

ROOTS = (b"/srv/\xff\n", b"/var")


def test_a_run_is_resumable_until_it_is_finished(database: Database) -> None:
    runs = Runs(database)
    run = runs.start("scan", ROOTS, "{}", 1.0)
    resumable = runs.load_resumable("scan", ROOTS, "{}")
    assert resumable is not None
    assert (resumable.id, resumable.state, resumable.roots) == (run.id, RunState.INTERRUPTED, ROOTS)
    runs.finish(run.id, RunState.FINISHED, '{"files": 3}', 2.0)
    assert runs.load_resumable("scan", ROOTS, "{}") is None


@pytest.mark.parametrize(
    ("kind", "roots", "options"),
    [("recheck", ROOTS, "{}"), ("scan", ROOTS[:1], "{}"), ("scan", ROOTS, '{"full": true}')],
)
def test_only_the_same_request_resumes_a_run(
    database: Database, kind: str, roots: tuple[bytes, ...], options: str
) -> None:
    Runs(database).start("scan", ROOTS, "{}", 1.0)
    assert Runs(database).load_resumable(kind, roots, options) is None


def test_a_restarted_run_hides_the_interrupted_one(database: Database) -> None:
    runs = Runs(database)
    runs.start("scan", ROOTS, "{}", 1.0)
    run = runs.start("scan", ROOTS, "{}", 2.0)
    runs.finish(run.id, RunState.FINISHED, "{}", 3.0)
    assert runs.load_resumable("scan", ROOTS, "{}") is None


def test_a_resumed_run_keeps_its_number_its_start_and_its_tally(database: Database) -> None:
    runs = Runs(database)
    run = runs.start("scan", ROOTS, "{}", 1.0)
    runs.record_progress(run.id, '{"files": 3}', 2.0)
    runs.finish(run.id, RunState.INTERRUPTED, '{"files": 4}', 3.0)
    resumable = runs.load_resumable("scan", ROOTS, "{}")
    assert resumable is not None
    assert (resumable.tally, resumable.updated, resumable.finished) == ('{"files": 4}', 3.0, 3.0)
    with RunLock.acquire(database.path) as lock:
        resumed = runs.resume(resumable, 5.0)
        lock.set_run(resumed.id)
        assert runs.load_latest() == [resumed]
    assert (resumed.id, resumed.started, resumed.finished) == (run.id, 1.0, None)


def test_a_run_is_running_while_its_process_holds_the_lock(database: Database) -> None:
    runs = Runs(database)
    first = runs.start("scan", ROOTS, "{}", 1.0)
    with RunLock.acquire(database.path) as lock:
        lock.set_run(first.id)
        assert [run.state for run in runs.load_latest()] == [RunState.RUNNING]
        second = runs.start("recheck", (), "{}", 2.0)
        lock.set_run(second.id)
        states = {run.id: run.state for run in runs.load_latest()}
        assert states == {first.id: RunState.INTERRUPTED, second.id: RunState.RUNNING}
    assert {run.state for run in runs.load_latest()} == {RunState.INTERRUPTED}


def test_the_latest_runs_are_listed_first(database: Database) -> None:
    runs = Runs(database)
    started = [runs.start("scan", (b"/%d" % n,), "{}", float(n)).id for n in range(4)]
    assert [run.id for run in runs.load_latest()] == started[::-1]
    assert [run.id for run in runs.load_latest(2)] == started[:1:-1]


def test_a_run_without_roots_has_none(database: Database) -> None:
    Runs(database).start("recheck", (), "{}", 1.0)
    assert Runs(database).load_latest()[0].roots == ()


@pytest.mark.usefixtures("database")
def test_a_second_lock_attempt_names_the_holder(path: Path) -> None:
    with RunLock.acquire(path) as lock:
        with pytest.raises(StorageBusy, match=f"process {os.getpid()} is using"):
            RunLock.acquire(path)
        lock.set_run(7)
        with pytest.raises(StorageBusy, match=f"process {os.getpid()} \\(run 7\\) ") as caught:
            RunLock.acquire(path)
        assert "hashwacht scans" in caught.value.advice
        assert lock_holder(path) == LockHolder(os.getpid(), 7)
    assert lock_holder(path) is None
    RunLock.acquire(path).release()


def test_a_lock_that_was_never_acquired_has_no_holder(path: Path) -> None:
    assert lock_holder(path) is None


@pytest.mark.usefixtures("database")
def test_a_holder_that_has_not_written_its_name_holds_the_lock(path: Path) -> None:
    with RunLock.acquire(path):
        lock_path(path).write_bytes(b"")
        assert lock_holder(path) == LockHolder(None, None)
        with pytest.raises(StorageBusy, match="another process is using"):
            RunLock.acquire(path)


def test_a_lock_that_cannot_be_made_is_an_error_with_advice(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        RunLock.acquire(tmp_path / "missing" / "state.db")
    assert caught.value.advice
