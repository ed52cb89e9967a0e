"""A full disk, a locked storage, killed workers: the daemon recovers from each."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from hashwacht.core.types import FileId
from hashwacht.core.watch_events import Announcement, Lane
from hashwacht.daemon.scanner.dispatcher import JournaledFile, ReadContext
from hashwacht.daemon.scanner.readers import MAX_TRIES, FileReader
from hashwacht.engine.compare import required_freshness
from hashwacht.engine.read import FileUnreadable
from hashwacht.quarantine.age import generate_key_pair
from hashwacht.settings import RootSettings
from hashwacht.storage.files import KnownFile
from hashwacht.storage.locations import LocationState
from support.daemon.daemon_harness import DaemonHarness, unjudged_files
from support.daemon.daemon_program import DaemonProgram
from support.memory_disk import memory_disk

MIB = 1024 * 1024
SEALED = LocationState.QUARANTINED


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount 96 MiB of memory; skip where that is not permitted."""
    with memory_disk(tmp_path / "small", 96 * MIB) as place:
        yield place


@pytest.mark.alone
def test_a_full_disk_is_waited_out_and_nothing_is_lost(small_disk: Path, root: Path) -> None:
    harness = DaemonHarness(small_disk / "state", (RootSettings("uploads", root),))
    harness.change(max_queued_events=50)
    with harness.running():
        harness.wait_until_done()
        with suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(4096))
        for number in range(500):
            (root / f"{number}").write_bytes(os.urandom(20))
        time.sleep(1.0)  # the disk stays full for a while; there is no event to wait for
        assert harness.unjudged_files(root), "nothing can be recorded while the disk is full"
        (small_disk / "filler").unlink()
        harness.wait_for(lambda: not harness.unjudged_files(root), "looked up")
        harness.wait_until_done()
    harness.close()


def test_a_state_that_another_process_holds_is_waited_for(
    harness: DaemonHarness, root: Path
) -> None:
    with harness.running():
        harness.wait_until_done()
        with closing(
            sqlite3.connect(harness.state / "state.db", isolation_level=None)
        ) as connection:
            connection.execute("BEGIN IMMEDIATE")
            for number in range(50):
                (root / f"{number}").write_bytes(b"%d" % number)
            time.sleep(6.0)  # longer than SQLite's own timeout
            assert harness.unjudged_files(root)
            connection.execute("ROLLBACK")
        harness.wait_for(lambda: not harness.unjudged_files(root), "looked up")
        harness.wait_until_done()


def test_a_known_file_that_cannot_be_read_any_more_fails(harness: DaemonHarness) -> None:
    """A read of the first byte of /proc/self/mem, a regular file, fails like that of a bad disk."""
    store, now, runtime = harness.store, time.time(), harness.parts()
    path = f"/proc/{os.getpid()}/mem".encode()
    with Path(os.devnull).open("rb") as nothing:
        empty = runtime.pipeline.fingerprint(nothing.fileno())
    content = store.contents.record([empty], now)[empty.key].id
    store.journal.record([Announcement("uploads", path)], Lane.UPLOAD, now)
    (entry,) = store.journal.load_due(Lane.UPLOAD, now, 1)
    known = KnownFile(
        FileId.from_stat(os.lstat(path)), content, None, empty.recipe, None, None, None, 0
    )
    context = ReadContext(
        runtime.pipeline, required_freshness(store, runtime.pipeline, now), runtime.roots
    )
    reader = FileReader(store, lambda: harness.settings)
    for attempts, is_retried in ((0, True), (MAX_TRIES, False)):
        attempt = replace(entry, attempts=attempts)
        directory, name = os.path.split(path)
        result = reader.read(JournaledFile(attempt, "uploads", directory, name, known), context)
        assert isinstance(result, FileUnreadable)
        assert (result.retry_at is not None) is is_retried


@pytest.fixture
def program(tmp_path: Path) -> DaemonProgram:
    (tmp_path / "storage").mkdir()
    return DaemonProgram(tmp_path)


def test_workers_that_are_killed_cost_no_verdict(program: DaemonProgram, tmp_path: Path) -> None:
    root = tmp_path / "storage"
    program.watch("uploads", root)
    program.know(b"known")
    ended = threading.Event()
    with program.scanner() as process, closing(program.state()) as store:
        scanner = psutil.Process(process.pid)

        def kill() -> None:
            while not ended.wait(0.15):
                for worker in scanner.children(recursive=True):
                    try:
                        worker.send_signal(signal.SIGKILL)
                    except psutil.NoSuchProcess:
                        continue

        killer = threading.Thread(target=kill)
        killer.start()
        for number in range(150):
            (root / f"{number}").write_bytes(b"%d" % number)
            time.sleep(0.01)
        ended.set()
        killer.join()
        program.wait_for(lambda: not unjudged_files(store, root), "looked up")
        assert process.poll() is None


def test_a_match_is_sealed_away_where_the_policy_says_so(
    program: DaemonProgram, tmp_path: Path
) -> None:
    root, keys = tmp_path / "storage", generate_key_pair()
    program.watch("uploads", root, 'on_exact_match = "quarantine"')
    with program.configuration.open("a") as file:
        file.write(f'[quarantine]\nrecipients = ["{keys.public}"]\n')
    program.know(b"known")
    with program.scanner(), closing(program.state()) as store:
        (root / "a").write_bytes(b"known")
        (root / "b").write_bytes(b"harmless")
        program.wait_for(lambda: not (root / "a").exists(), "sealed")
        program.wait_for(lambda: (p := store.locations.load(1)) and p.state is SEALED, "recorded")
        program.wait_for(lambda: not unjudged_files(store, root), "looked up")
        assert (root / "b").read_bytes() == b"harmless"
