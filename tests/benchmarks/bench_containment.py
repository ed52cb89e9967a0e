"""The cost of decoding in sandboxed workers, and of decompression bombs there."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.measuring import Table, at_least, at_most, one_core
from demo.pictures import encode, grainy, photo
from hashwacht.core.ports import Fingerprinter
from hashwacht.hashing import Limits, Plan
from hashwacht.hashing.in_process import InProcessFingerprinter
from hashwacht.hashing.workers.pool import WorkerPool
from hashwacht.hashing.workers.protocol import MAX_BATCH
from hashwacht.hashing.workers.sandbox import WorkerLimits
from support.hostile.hostile import HASHED, TOO_SLOW, Hostile, corpus
from support.processes import workers

TYPES = ("md5", "sha1", "sha256", "pdq", "phash64", "dhash64")
SIZES = {"640x480": (640, 480), "1600x1200": (1600, 1200)}
BUDGET = 3.0
"""Seconds for a bomb; the default is 30."""


@contextmanager
def opened(content: bytes) -> Iterator[int]:
    """Yield a descriptor of a file on disk: a memory file has no page cache to preserve."""
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(content)
        yield file.fileno()


def ask(fingerprinter: Fingerprinter, content: bytes) -> Callable[[], None]:
    def fingerprint() -> None:
        with opened(content) as fd:
            os.lseek(fd, 0, os.SEEK_SET)
            fingerprinter.fingerprint(fd)

    return fingerprint


@pytest.mark.parametrize("size", SIZES)
def bench_sandbox(size: str, table: Table) -> None:
    content = encode(grainy(photo(1, SIZES[size])), quality=85)
    many, bare = table.amount(48, 4), InProcessFingerprinter(Plan(TYPES))
    with (
        one_core(),
        WorkerPool(Plan(TYPES), 1) as pool,
        ThreadPoolExecutor(2 * MAX_BATCH) as readers,
    ):
        times = table.race(
            ours=lambda: list(readers.map(lambda _: ask(pool, content)(), range(many))),
            peer=lambda: [ask(bare, content)() for _ in range(many)],
            rounds=9,
        )
    name = f"{size} JPEGs in sandboxed workers, one core"
    against = f"the same code in this process, {many} pictures"
    table.add(name, times, against=against, target=at_least(0.9, "x"))


def _apart(contents: list[bytes]) -> None:
    fingerprinter = InProcessFingerprinter(Plan(TYPES))
    for content in contents:
        ask(fingerprinter, content)()


@pytest.mark.parametrize("size", SIZES)
def bench_throughput(size: str, table: Table) -> None:
    """Compare the throughput of two cores: the pool against processes that share nothing."""
    content = encode(grainy(photo(1, SIZES[size])), quality=85)
    many, fork = table.amount(64, 4), multiprocessing.get_context("fork")
    with (
        fork.Pool(2) as bare,
        WorkerPool(Plan(TYPES), 2) as pool,
        ThreadPoolExecutor(4 * MAX_BATCH) as readers,
    ):
        times = table.race(
            ours=lambda: list(readers.map(lambda _: ask(pool, content)(), range(many))),
            peer=lambda: bare.map(_apart, [[content] * (many // 2)] * 2),
            rounds=5,
        )
    name = f"{size} JPEGs in sandboxed workers, two cores"
    against = f"the same code in two forked processes, {many} pictures"
    table.add(name, times, against=against, target=at_least(0.9, "x"))


def bench_restart(table: Table) -> None:
    """Compare a new worker for every content with one that is reused."""
    content = encode(photo(1, (64, 64)), "png")
    with (
        WorkerPool(Plan(TYPES), 1, worker_limits=WorkerLimits(max_tasks=1)) as fresh,
        WorkerPool(Plan(TYPES), 1) as pool,
    ):
        times = table.race(ours=ask(fresh, content), peer=ask(pool, content), rounds=21)
    figure = 1e3 * (statistics.median(times.ours) - statistics.median(times.peer)) / 2
    remark = "two workers end and are started for each content; the figure is for one"
    table.note("Restart of a worker", figure, remark, target=at_most(20, "ms"))


def _peak() -> float:
    """Return the peak resident memory of the running decoder, in MB."""
    for worker in workers():
        for line in Path(f"/proc/{worker.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1e3
    return 0.0


def bench_bombs(table: Table) -> None:
    limits = Limits(timeout=BUDGET)
    bombs = corpus()[: table.amount(14, 2)]
    worst, largest = ("", 0.0), ("", 0.0)
    for bomb in bombs:
        with WorkerPool(Plan(TYPES, limits), 1) as pool:
            ask(pool, encode(photo(1, (64, 64))))()
            content = bomb.make()
            began = time.perf_counter()
            ask(pool, content)()
            worst = max(worst, (bomb.name, time.perf_counter() - began), key=lambda pair: pair[1])
            largest = max(largest, (bomb.name, _peak()), key=lambda pair: pair[1])
    against = f"{len(bombs)} kinds, {BUDGET:g} s and 1 GiB allowed"
    target = at_most(BUDGET + 1.0, "s")
    table.note("Slowest bomb", worst[1], worst[0], against=against, target=target)
    table.note("Largest bomb", largest[1], largest[0], against=against, target=at_most(1074, "MB"))


def _distinct(bombs: list[Hostile], count: int) -> list[bytes]:
    """Return *count* bombs that all differ in their last bytes, so that each content is new."""
    contents = [bomb.make() for bomb in bombs]
    return [contents[n % len(contents)] + str(n).encode() for n in range(count)]


def bench_flood(table: Table) -> None:
    """One bomb among ten good pictures; the two slow bombs are repeated."""
    good = encode(grainy(photo(1)), quality=85)
    many = table.amount(1000, 20)
    of_size = [b for b in corpus()[:14] if not b.expected & (TOO_SLOW | {HASHED})]
    slow = [b.make() for b in corpus()[:14] if b.expected & TOO_SLOW]
    bombs = _distinct(of_size, many // 10) + slow * max(1, many // 100)
    mixed = [good] * many
    for number, bomb in enumerate(bombs):
        mixed.insert(number * 11, bomb)
    took = []
    for contents in ([good] * many, mixed):
        with (
            WorkerPool(Plan(TYPES, Limits(timeout=BUDGET / 3)), 2) as pool,
            ThreadPoolExecutor(2) as threads,
        ):
            ask(pool, good)()
            began = time.perf_counter()
            list(threads.map(lambda content, pool=pool: ask(pool, content)(), contents))
            took.append(time.perf_counter() - began)
    against = f"{many} pictures of 640x480 with {len(bombs)} bombs, and without"
    target = at_most(2, "x")
    table.note("Flood of bombs", took[1] / took[0], against=against, target=target)
