"""The worker that reads archives is confined, and its loss leaves what was read."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import psutil

from hashwacht.core.types import Reason
from hashwacht.hashing.workers.protocol import TaskFailure, WorkerKind
from hashwacht.hashing.workers.sandbox import process_name
from support.archives import zip_archive
from support.fingerprints import fingerprint_bytes
from support.processes import wait_for
from support.unpacking import unpacking_pool

NAME = process_name(WorkerKind.ARCHIVE)


def fork_servers() -> set[psutil.Process]:
    return set(psutil.Process().children())


def archive_workers(others: set[psutil.Process]) -> list[psutil.Process]:
    """Return the workers that read archives of the only pool that is none of the *others*."""
    (fork_server,) = fork_servers() - others
    return [process for process in fork_server.children() if process.name() == NAME]


FILES = {str(number): b"some text %d" % number for number in range(5)}


def test_the_kernel_confirms_the_sandbox() -> None:
    others = fork_servers()
    with unpacking_pool() as (fingerprinter, _):
        assert len(fingerprint_bytes(fingerprinter, zip_archive(FILES)).members) == len(FILES)
        (worker,) = archive_workers(others)
        status = Path(f"/proc/{worker.pid}/status").read_text()
        assert "Seccomp:\t2\n" in status
        assert "NoNewPrivs:\t1\n" in status
        opened = {str(path.readlink()) for path in Path(f"/proc/{worker.pid}/fd").iterdir()}
    sockets = {path for path in opened if path.startswith("socket:")}
    assert len(sockets) == 1
    assert opened - sockets == {os.devnull, f"/proc/{worker.pid}/statm"}


def test_an_archive_that_crashes_its_worker_twice_is_not_opened_again() -> None:
    """What was read before the crash counts."""
    names: list[str] = []
    others = fork_servers()

    def kill_at_the_second(name: str, _: int) -> TaskFailure | None:
        names.append(name)
        if len(names) == 2:
            wait_for(lambda: len(archive_workers(others)) == 1)
            (worker,) = archive_workers(others)
            worker.kill()  # the fork server reaps it
        return None

    with unpacking_pool() as (_, pool), tempfile.TemporaryFile() as file:
        file.write(zip_archive(FILES))
        file.flush()
        for opened in (["0", "1"], ["0", "1"], []):
            names.clear()
            (problem,) = pool.unpacker.unpack(file.fileno(), "a" * 64, kill_at_the_second)
            assert (problem.reason, names) == (Reason.WORKER_DIED, opened)


def test_the_receiver_of_members_can_end_an_archive() -> None:
    full = TaskFailure(Reason.OVER_LIMIT, "enough")
    with unpacking_pool() as (fingerprinter, pool), tempfile.TemporaryFile() as file:
        file.write(zip_archive(FILES))
        file.flush()
        assert pool.unpacker.unpack(file.fileno(), "a" * 64, lambda *_: full) == (full,)
        assert len(fingerprint_bytes(fingerprinter, zip_archive(FILES)).members) == len(FILES)
