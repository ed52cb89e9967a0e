"""A content can cost at most its own worker: real processes, real deaths."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread

import psutil
import pytest

from hashwacht.errors import ConfigurationError, WorkerError
from hashwacht.fingerprint.confine import Stamina
from hashwacht.fingerprint.plan import Limits, Plan
from hashwacht.fingerprint.pool import WorkerPool
from hashwacht.types import Fingerprint, Reason, Skip

Ask = Callable[[WorkerPool, bytes], Fingerprint]
Start = Callable[..., WorkerPool]


def family() -> list[psutil.Process]:
    """Give the nursery, its workers and what they started."""
    return psutil.Process().children(recursive=True)


def workers() -> list[psutil.Process]:
    (nursery,) = psutil.Process().children()
    return nursery.children()


def wait_for(happens: Callable[[], bool], seconds: float = 5) -> None:
    """Wait for something that other processes do, of which nobody tells us."""
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_whole(fingerprint: Fingerprint, content: bytes) -> bool:
    digests = {s.type: s.value for s in fingerprint.signals if s.type != "pdq"}
    return (
        digests
        == {
            "md5": hashlib.md5(content).hexdigest(),
            "sha1": hashlib.sha1(content).hexdigest(),
        }
        and fingerprint.key == hashlib.sha256(content).hexdigest()
        and fingerprint.recipe == ("md5/1", "sha1/1", "pdq/1")
    )


def test_a_good_content_is_fingerprinted(start: Start, ask: Ask) -> None:
    pool = start()
    made = ask(pool, b"harmless")
    assert is_whole(made, b"harmless")
    assert not made.skipped
    assert made.recipe == pool.recipe


@pytest.mark.parametrize(
    ("deed", "reason", "detail"),
    [
        (b"die", Reason.WORKER_DIED, f"signal {signal.SIGSEGV.value}"),
        (b"spawn", Reason.WORKER_DIED, f"signal {signal.SIGKILL.value}"),
        (b"chatter", Reason.WORKER_DIED, "it answered what was not asked"),
        (b"hang", Reason.TIMED_OUT, "no progress within its time"),
        (b"spin", Reason.TIMED_OUT, "its processor time is used up"),
        (b"bloat", Reason.OVER_LIMIT, "more memory than a worker may have"),
        (b"raise", Reason.HASHER_FAILED, "RuntimeError: a decoder's surprise?"),
    ],
)
def test_a_culprit_loses_its_perceptual_signals_with_a_reason_but_not_its_digests(
    start: Start, ask: Ask, deed: bytes, reason: Reason, detail: str
) -> None:
    pool = start()
    made = ask(pool, deed)
    assert is_whole(made, deed)
    assert made.skipped == (Skip("pdq", reason, detail),)
    after = ask(pool, b"the next one")
    assert is_whole(after, b"the next one")
    assert not after.skipped


@pytest.mark.parametrize("deed", [b"always-die", b"always-hang", b"always-bloat"])
def test_a_content_without_even_digests_is_an_unreadable_one(
    start: Start, ask: Ask, deed: bytes
) -> None:
    """An error of the file system, which callers handle anyway; it does not end a scan."""
    pool = start()
    with pytest.raises(OSError, match=r"digests|deliver"):
        ask(pool, deed)
    assert is_whole(ask(pool, b"the next one"), b"the next one")


def test_what_the_file_system_says_is_raised_as_it_was(start: Start, ask: Ask) -> None:
    with pytest.raises(OSError, match="Input/output error") as caught:
        ask(start(), b"refuse")
    assert caught.value.errno == 5


def test_a_closed_descriptor_is_the_callers_error(start: Start, ask: Ask) -> None:
    pool = start()
    with pytest.raises(OSError, match="Bad file descriptor"):
        pool.fingerprint(9999)
    assert is_whole(ask(pool, b"the next one"), b"the next one")


def test_of_200_contents_from_8_threads_exactly_the_5_culprits_are_affected(
    start: Start, ask: Ask
) -> None:
    pool = start(jobs=2)
    contents = [f"good {number}".encode() for number in range(195)]
    for place, deed in enumerate([b"die", b"bloat", b"hang", b"chatter", b"raise"]):
        contents.insert(20 + 37 * place, deed)
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda content: ask(pool, content), contents))
    assert all(map(is_whole, made, contents))
    hurt = [content for content, each in zip(contents, made, strict=True) if each.skipped]
    assert hurt == [b"die", b"bloat", b"hang", b"chatter", b"raise"]


def test_a_worker_killed_in_the_middle_costs_one_content(start: Start, ask: Ask) -> None:
    pool = start(Plan(("md5", "sha1", "pdq"), Limits(seconds=60)))
    ask(pool, b"warm")
    (victim,) = workers()
    idle = victim.num_fds()
    made: list[Fingerprint] = []
    thread = Thread(target=lambda: made.append(ask(pool, b"hang")))
    thread.start()
    wait_for(lambda: victim.num_fds() > idle)
    victim.kill()
    thread.join(10)
    assert is_whole(made[0], b"hang")
    assert made[0].skipped[0].reason is Reason.WORKER_DIED


def test_a_worker_killed_while_idle_costs_no_content_anything(start: Start, ask: Ask) -> None:
    pool = start()
    ask(pool, b"warm")
    (victim,) = workers()
    victim.kill()
    wait_for(lambda: victim.status() == psutil.STATUS_ZOMBIE)
    made = ask(pool, b"the next one")
    assert not made.skipped
    assert not victim.is_running() or victim.status() != psutil.STATUS_ZOMBIE


def test_a_killed_nursery_is_replaced(start: Start, ask: Ask) -> None:
    pool = start()
    ask(pool, b"warm")
    (nursery,) = psutil.Process().children()
    orphans = nursery.children()
    nursery.kill()
    _, alive = psutil.wait_procs(orphans, timeout=5)
    assert not alive
    assert not ask(pool, b"the next one").skipped


def test_a_slow_reader_that_makes_progress_is_not_late(start: Start, ask: Ask) -> None:
    """The budget is for standing still: a long video at idle priority gets its digests."""
    content = b"dawdle".ljust(10 << 20)  # 0.2 s for every MiB
    began = time.monotonic()
    made = ask(start(), content)
    assert time.monotonic() - began >= 2
    assert is_whole(made, content)
    assert not made.skipped


def test_memory_is_given_back_by_a_fresh_worker(start: Start, ask: Ask) -> None:
    pool = start()
    ask(pool, b"warm")
    before = workers()
    assert not ask(pool, b"hoard").skipped
    assert is_whole(ask(pool, b"the next one"), b"the next one")
    (after,) = workers()
    assert [after] != before
    assert after.memory_info().rss < 100 << 20


def test_a_worker_is_replaced_after_so_many_contents(start: Start, ask: Ask) -> None:
    pool = start(stamina=Stamina(tasks=3))
    seen: set[int] = set()
    for number in range(9):
        assert not ask(pool, b"%d" % number).skipped
        seen.update(each.pid for each in workers())
    assert len(seen) == 3


def test_nothing_is_left_behind(start: Start, ask: Ask) -> None:
    """No open files, no zombies, no programs that an operator's hasher had started."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    pool = start(jobs=2)
    for deed in [b"good", b"die", b"spawn", b"raise", b"bloat", b"chatter", b"good"] * 3:
        ask(pool, deed)
    assert len(family()) <= 3
    assert all(each.status() != psutil.STATUS_ZOMBIE for each in family())
    left = family()
    pool.close()
    assert not any(each.is_running() for each in left)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_closing_takes_less_than_a_second_whatever_workers_do(start: Start, ask: Ask) -> None:
    pool = start(Plan(("md5", "pdq"), Limits(seconds=60)), jobs=2)
    errors: list[Exception] = []

    def wait_for_long(content: bytes) -> None:
        try:
            ask(pool, content)
        except WorkerError as error:
            errors.append(error)

    threads = [Thread(target=wait_for_long, args=[d]) for d in (b"spin", b"hang", b"hang")]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(family()) == 3)
    left = family()
    began = time.monotonic()
    pool.close()
    for thread in threads:
        thread.join(1)
    assert time.monotonic() - began < 1
    assert len(errors) == 3
    assert not any(each.is_running() for each in left)


def test_a_pool_that_is_closed_says_so(start: Start, ask: Ask) -> None:
    pool = start()
    pool.close()
    pool.close()
    with pytest.raises(WorkerError, match="closed"):
        ask(pool, b"late")


def test_a_copy_of_a_pool_in_a_forked_process_refuses_to_work(start: Start, ask: Ask) -> None:
    """Two processes on one worker's socket would read each other's answers."""
    pool = start()
    ask(pool, b"warm")
    pid = os.fork()
    if pid == 0:
        try:
            ask(pool, b"forked")
        except WorkerError:
            pool.close()  # must not close it for its owner
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert not ask(pool, b"the owner").skipped


def test_an_unknown_signal_type_or_fingerprinter_is_an_error_that_names_it(start: Start) -> None:
    with pytest.raises(ConfigurationError, match="nonesuch"):
        start(Plan(("nonesuch",)))
    with pytest.raises(WorkerError, match="nonesuch"):
        _ = start(maker="hashwacht.testing.nonesuch:Nonesuch").recipe


PROGRAM = """
import os, sys, threading
from hashwacht.fingerprint.plan import Plan, Limits
from hashwacht.fingerprint.pool import WorkerPool
pool = WorkerPool(Plan(("md5", "pdq"), Limits(seconds=60)), 2, maker=sys.argv[1])
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
    work(b"good") if len(sys.argv) > 2 else None
    pool.close()
    print("interrupted", flush=True)
"""
CULPRITS = "hashwacht.testing.culprits:Culprits"


def busy_scanner() -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """Start a process of its own with two workers that never come to an end."""
    scanner = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, CULPRITS], stdout=subprocess.PIPE, text=True
    )
    assert scanner.stdout is not None
    assert scanner.stdout.readline() == "busy\n"
    this = psutil.Process(scanner.pid)
    wait_for(lambda: len(this.children(recursive=True)) == 3)
    return scanner, this.children(recursive=True)


def test_nobody_outlives_a_scanner_that_is_killed() -> None:
    scanner, left = busy_scanner()
    with scanner:
        scanner.kill()
    _, alive = psutil.wait_procs(left, timeout=5)
    assert not alive


def test_workers_leave_an_interrupt_to_the_scanner() -> None:
    scanner, left = busy_scanner()
    with scanner:
        for each in left:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                each.send_signal(number)
        assert all(each.is_running() and each.status() != "zombie" for each in left)
        began = time.monotonic()
        scanner.send_signal(signal.SIGINT)
        assert scanner.stdout is not None
        assert scanner.stdout.read() == "interrupted\n"
        assert time.monotonic() - began < 1
    _, alive = psutil.wait_procs(left, timeout=5)
    assert not alive


def test_workers_are_confined(start: Start, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASHWACHT_TEST_SECRET", "geheim")
    pool = start()
    ask(pool, b"warm")
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


def test_in_the_background_they_have_the_lowest_priority(start: Start, ask: Ask) -> None:
    ask(start(background=True), b"warm")
    for each in family():
        assert each.nice() == 19
        assert each.ionice().ioclass == psutil.IOPRIO_CLASS_IDLE


def test_otherwise_they_have_the_scanners(start: Start, ask: Ask) -> None:
    ask(start(), b"warm")
    assert all(each.nice() == os.nice(0) for each in family())
