"""A content costs at most its own worker: real processes, real crashes."""

from __future__ import annotations

import hashlib
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

import psutil
import pytest

from hashwacht.core.types import Fingerprint, Reason, Skip
from hashwacht.hashing import Limits, Plan
from hashwacht.hashing.workers.pool import WorkerPool
from hashwacht.hashing.workers.sandbox import WorkerLimits
from support.fingerprints import fingerprint_bytes
from support.processes import wait_for, workers

Start = Callable[..., WorkerPool]


def is_whole(fingerprint: Fingerprint, content: bytes) -> bool:
    digests = {s.type: s.value for s in fingerprint.signals if s.type != "pdq"}
    return (
        digests
        == {
            "md5": hashlib.md5(content).hexdigest(),
            "sha1": hashlib.sha1(content).hexdigest(),
        }
        and fingerprint.key == hashlib.sha256(content).hexdigest()
        and fingerprint.recipe[:3] == ("md5/1", "sha1/1", "pdq/1")
    )


def test_a_good_content_is_fingerprinted(start: Start) -> None:
    pool = start()
    fingerprint = fingerprint_bytes(pool, b"harmless")
    assert is_whole(fingerprint, b"harmless")
    assert not fingerprint.skipped
    assert fingerprint.recipe == pool.recipe


@pytest.mark.parametrize(
    ("deed", "reason", "detail"),
    [
        (b"die", Reason.WORKER_DIED, f"signal {signal.SIGSEGV.value}"),
        (b"flood", Reason.WORKER_DIED, "it sent an unexpected answer"),
        (b"lie", Reason.WORKER_DIED, "its worker sent an invalid reply: an unknown reply"),
        (b"pretend", Reason.TIMED_OUT, "no progress within the time limit"),
        (b"chatter", Reason.WORKER_DIED, "it sent an unexpected answer"),
        (b"hang", Reason.TIMED_OUT, "no progress within the time limit"),
        # On a busy machine the scanner's timeout may expire before the processor-time limit.
        (
            b"spin",
            Reason.TIMED_OUT,
            "its processor time is used up|no progress within the time limit",
        ),
        (b"bloat", Reason.OVER_LIMIT, "more memory than a worker may have"),
        (b"raise", Reason.HASHER_FAILED, "RuntimeError: a decoder's surprise?"),
    ],
)
def test_a_crashing_content_keeps_its_digests(
    start: Start, deed: bytes, reason: Reason, detail: str
) -> None:
    pool = start()
    fingerprint = fingerprint_bytes(pool, deed)
    assert is_whole(fingerprint, deed)
    assert fingerprint.skipped in [(Skip("pdq", reason, part),) for part in detail.split("|")]
    after = fingerprint_bytes(pool, b"the next one")
    assert is_whole(after, b"the next one")
    assert not after.skipped


@pytest.mark.parametrize("deed", [b"always-die", b"always-hang", b"always-bloat"])
def test_a_content_without_even_digests_is_an_unreadable_one(start: Start, deed: bytes) -> None:
    """It is an error of the file system that callers handle anyway; the scan goes on."""
    pool = start()
    with pytest.raises(OSError, match=r"digests|respond"):
        fingerprint_bytes(pool, deed)
    assert is_whole(fingerprint_bytes(pool, b"the next one"), b"the next one")


def test_errors_of_the_file_system_are_raised_unchanged(start: Start) -> None:
    with pytest.raises(OSError, match="Input/output error") as caught:
        fingerprint_bytes(start(), b"refuse")
    assert caught.value.errno == 5


def test_a_closed_descriptor_is_the_callers_error(start: Start) -> None:
    pool = start()
    with pytest.raises(OSError, match="Bad file descriptor"):
        pool.fingerprint(9999)
    assert is_whole(fingerprint_bytes(pool, b"the next one"), b"the next one")


def test_exactly_5_crashing_contents_of_200_are_affected(start: Start) -> None:
    pool = start(jobs=2)
    contents = [f"good {number}".encode() for number in range(195)]
    for place, deed in enumerate([b"die", b"bloat", b"hang", b"chatter", b"raise"]):
        contents.insert(20 + 37 * place, deed)
    with ThreadPoolExecutor(8) as threads:
        fingerprints = list(threads.map(lambda content: fingerprint_bytes(pool, content), contents))
    assert all(map(is_whole, fingerprints, contents))
    hurt = [
        content
        for content, fingerprint in zip(contents, fingerprints, strict=True)
        if fingerprint.skipped
    ]
    assert hurt == [b"die", b"bloat", b"hang", b"chatter", b"raise"]


def test_a_worker_killed_in_the_middle_costs_one_content(start: Start) -> None:
    pool = start(Plan(("md5", "sha1", "pdq"), Limits(timeout=60)))
    fingerprint_bytes(pool, b"warm")
    (victim,) = workers()
    idle = victim.num_fds()
    fingerprints: list[Fingerprint] = []
    thread = Thread(target=lambda: fingerprints.append(fingerprint_bytes(pool, b"hang")))
    thread.start()
    wait_for(lambda: victim.num_fds() > idle)
    victim.kill()
    thread.join(10)
    assert is_whole(fingerprints[0], b"hang")
    assert fingerprints[0].skipped[0].reason is Reason.WORKER_DIED


def test_a_worker_killed_while_idle_costs_no_content_anything(start: Start) -> None:
    pool = start()
    fingerprint_bytes(pool, b"warm")
    (victim,) = workers()
    victim.kill()
    wait_for(lambda: victim.status() == psutil.STATUS_ZOMBIE)
    fingerprint = fingerprint_bytes(pool, b"the next one")
    assert not fingerprint.skipped
    wait_for(lambda: not victim.is_running())  # reaped: psutil counts a zombie as running


def test_a_killed_nursery_is_replaced(start: Start) -> None:
    pool = start()
    fingerprint_bytes(pool, b"warm")
    (fork_server,) = psutil.Process().children()
    orphans = fork_server.children()
    fork_server.kill()
    _, alive = psutil.wait_procs(orphans, timeout=5)
    assert not alive
    assert not fingerprint_bytes(pool, b"the next one").skipped


def test_a_slow_reader_that_makes_progress_is_not_late(start: Start) -> None:
    """The time limit applies without progress: a long video at idle priority gets its digests."""
    content = b"dawdle".ljust(10 << 20)  # 0.2 s for every MiB
    began = time.monotonic()
    fingerprint = fingerprint_bytes(start(), content)
    assert time.monotonic() - began >= 2
    assert is_whole(fingerprint, content)
    assert not fingerprint.skipped


def test_memory_is_given_back_by_a_fresh_worker(start: Start) -> None:
    pool = start()
    fingerprint_bytes(pool, b"warm")
    before = workers()
    assert not fingerprint_bytes(pool, b"hoard").skipped
    assert is_whole(fingerprint_bytes(pool, b"the next one"), b"the next one")
    (after,) = workers()
    assert [after] != before
    assert after.memory_info().rss < 100 << 20


def test_a_worker_is_replaced_after_so_many_contents(start: Start) -> None:
    pool = start(worker_limits=WorkerLimits(max_tasks=3))
    pids: set[int] = set()
    for number in range(9):
        assert not fingerprint_bytes(pool, b"%d" % number).skipped
        pids.update(process.pid for process in workers())
    assert len(pids) == 3


def test_an_idle_worker_needs_little_memory() -> None:
    """Pages of libraries' files are not counted: all processes share them."""
    with WorkerPool(Plan(("md5", "pdq", "phash64", "dhash64")), 1) as pool:
        assert not any(pool.layers.values())
        (worker,) = workers()
        memory = worker.memory_info()
        assert memory.rss - memory.shared < 28e6
