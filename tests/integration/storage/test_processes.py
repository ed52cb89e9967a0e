"""Several processes that use one storage."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from hashwacht.core.errors import StorageBusy
from hashwacht.storage.runs import Runs
from hashwacht.storage.sqlite.database import Database
from hashwacht.storage.sqlite.state_directory import LockHolder, RunLock, lock_holder
from support.processes import PROGRAMS


def test_the_lock_ends_with_its_process_despite_a_forked_child(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with subprocess.Popen(
        [sys.executable, PROGRAMS / "hold_run_lock.py", path], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        try:
            assert lock_holder(path) == LockHolder(process.pid, 7)
            with pytest.raises(StorageBusy, match=f"process {process.pid} \\(run 7\\)"):
                RunLock.acquire(path)
            process.kill()
            process.wait(10)
            os.kill(child, 0)  # the child is alive
            RunLock.acquire(path).release()
        finally:
            os.kill(child, signal.SIGKILL)


def test_another_process_reads_while_one_writes(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with subprocess.Popen(
        [sys.executable, PROGRAMS / "write_batches.py", path], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        tallies = []
        for _ in range(5):
            acknowledged = int(process.stdout.readline())
            with closing(Database.open(path)) as database:
                (run,) = Runs(database).load_latest()
            assert int(run.tally) >= acknowledged
            assert run.state == "running"
            tallies.append(int(run.tally))
        process.kill()
    assert tallies == sorted(tallies)
