"""Workers start and end without leaving files, processes or sockets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import psutil
import pytest

from hashwacht.core.errors import ConfigurationError, WorkerError
from hashwacht.hashing import Limits, Plan
from hashwacht.hashing.workers.pool import WorkerPool
from support.fingerprints import fingerprint_bytes
from support.processes import child_processes, wait_for, workers

PLAN = Plan(("md5", "pdq", "mine"), Limits(timeout=0.5), commands=(("mine", ("true",)),))
Start = Callable[..., WorkerPool]


def test_nothing_is_left_behind(start: Start) -> None:
    """There are no open files, no zombies, and no programs of an operator's hasher."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    pool = start(PLAN, jobs=2)
    for deed in [b"good", b"die", b"spawn", b"raise", b"bloat", b"chatter", b"good"] * 3:
        fingerprint_bytes(pool, deed)
    assert len(child_processes()) <= 7
    assert all(process.status() != psutil.STATUS_ZOMBIE for process in child_processes())
    left = child_processes()
    pool.close()
    assert not any(process.is_running() for process in left)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.alone  # measures time
def test_closing_takes_less_than_a_second_whatever_workers_do(start: Start) -> None:
    pool = start(Plan(("md5", "pdq"), Limits(timeout=60)), jobs=2)
    errors: list[Exception] = []

    def wait_for_long(content: bytes) -> None:
        try:
            fingerprint_bytes(pool, content)
        except WorkerError as error:
            errors.append(error)

    threads = [Thread(target=wait_for_long, args=[d]) for d in (b"spin", b"hang", b"hang")]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(workers()) == 2)
    left = child_processes()
    began = time.monotonic()
    pool.close()
    for thread in threads:
        thread.join(1)
    assert time.monotonic() - began < 1
    assert len(errors) == 3
    assert not any(process.is_running() for process in left)


def test_a_closed_pool_raises_an_error(start: Start) -> None:
    pool = start()
    pool.close()
    pool.close()
    with pytest.raises(WorkerError, match="closed"):
        fingerprint_bytes(pool, b"late")


def test_a_copy_of_a_pool_in_a_forked_process_refuses_to_work(start: Start) -> None:
    """Two processes on one worker's socket would read each other's answers."""
    pool = start()
    fingerprint_bytes(pool, b"warm")
    pid = os.fork()
    if pid == 0:
        try:
            fingerprint_bytes(pool, b"forked")
        except WorkerError:
            pool.close()  # must not close the owner's pool
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert not fingerprint_bytes(pool, b"the owner").skipped


def test_an_unknown_signal_type_or_task_is_an_error_naming_it(start: Start) -> None:
    with pytest.raises(ConfigurationError, match="nonesuch"):
        start(Plan(("nonesuch",)))
    with pytest.raises(WorkerError, match="nonesuch"):
        _ = start(task_factory="hashwacht.testing.nonesuch:Nonesuch").recipe


PROGRAM = """
import os, sys, threading
from hashwacht.hashing import Plan, Limits
from hashwacht.hashing.workers.pool import WorkerPool
pool = WorkerPool(Plan(("md5", "pdq"), Limits(timeout=60)), 2, task_factory=sys.argv[1])
def work(deed):
    fd = os.memfd_create("content")
    os.write(fd, deed)
    os.lseek(fd, 0, os.SEEK_SET)
    pool.fingerprint(fd)
work(b"good")
threads = [threading.Thread(target=work, args=[d], daemon=True) for d in (b"hang", b"spin")]
for each in threads:
    each.start()
print("busy", flush=True)
try:
    threads[0].join()
except KeyboardInterrupt:
    pool.close()
    print("interrupted", flush=True)
"""
CULPRITS = "support.hostile.culprits:Culprits"


def busy_scanner() -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """Start a process with two workers that never finish."""
    scanner = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, CULPRITS], stdout=subprocess.PIPE, text=True
    )
    assert scanner.stdout is not None
    assert scanner.stdout.readline() == "busy\n"
    this = psutil.Process(scanner.pid)
    wait_for(lambda: len(workers(scanner=this)) == 2)
    return scanner, this.children(recursive=True)


def test_no_process_outlives_a_killed_scanner() -> None:
    scanner, left = busy_scanner()
    with scanner:
        scanner.kill()
    _, alive = psutil.wait_procs(left, timeout=5)
    assert not alive


@pytest.mark.alone  # measures time
def test_workers_leave_an_interrupt_to_the_scanner() -> None:
    scanner, left = busy_scanner()
    with scanner:
        for process in left:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                process.send_signal(number)
        assert all(process.is_running() and process.status() != "zombie" for process in left)
        began = time.monotonic()
        scanner.send_signal(signal.SIGINT)
        assert scanner.stdout is not None
        assert scanner.stdout.read() == "interrupted\n"
        assert time.monotonic() - began < 1
    _, alive = psutil.wait_procs(left, timeout=5)
    assert not alive


def test_workers_are_confined(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASHWACHT_TEST_SECRET", "geheim")
    pool = start()
    fingerprint_bytes(pool, b"warm")
    (worker,) = workers()
    status = dict(
        line.split(":\t", 1)
        for line in Path(f"/proc/{worker.pid}/status").read_text().splitlines()
        if ":\t" in line
    )
    assert status["NoNewPrivs"] == "1"
    assert worker.rlimit(psutil.RLIMIT_CORE) == (0, 0)
    assert worker.rlimit(psutil.RLIMIT_FSIZE) == (0, 0)
    assert worker.rlimit(psutil.RLIMIT_NOFILE) == (64, 64)
    most, _ = worker.rlimit(psutil.RLIMIT_AS)
    assert (512 << 20) < most < (512 << 20) + worker.memory_info().vms + (16 << 20)
    assert Path(f"/proc/{worker.pid}/oom_score_adj").read_text() == "1000\n"
    assert os.getsid(worker.pid) != os.getsid(0)
    assert "HASHWACHT_TEST_SECRET" not in worker.environ()
    assert "geheim" not in str(worker.parent().environ())  # type: ignore[union-attr]  # has one
    assert worker.num_threads() == 1


def test_in_the_background_they_have_the_lowest_priority(start: Start) -> None:
    fingerprint_bytes(start(background=True), b"warm")
    for process in child_processes():
        assert process.nice() == 19
        assert process.ionice().ioclass == psutil.IOPRIO_CLASS_IDLE


def test_otherwise_they_have_the_scanners(start: Start) -> None:
    fingerprint_bytes(start(), b"warm")
    assert all(process.nice() == os.nice(0) for process in child_processes())
