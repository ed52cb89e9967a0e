"""Whole scans without the start of the program: the first run and the next one."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import mkdtemp

import pytest

from benchmarks.measuring import Table, at_least, at_most, installed, named, one_core
from benchmarks.peers import fingerprint as peers_fingerprint
from demo.pictures import encode, grainy, photo
from hashwacht.hashing import Plan
from hashwacht.hashing.workers.pool import WorkerPool
from hashwacht.matching.matcher_set import ConfiguredMatcher, MatcherSet
from hashwacht.pipeline import Pipeline
from hashwacht.scan.scan import ScanRequest, ScanRun
from hashwacht.storage.store import Store
from hashwacht.testing.fakes import KnowingMatcher, RememberingObserver
from hashwacht.walk.rules import ExclusionRules
from support.scan_harness import ScanHarness

SIDES = ((320, 240), (640, 480), (1280, 960), (1920, 1440), (2828, 2121))
JOBS = 2
ALL = ("md5", "sha1", "sha256", "pdq", "phash64", "dhash64")
INSTALL = "`make bench` installs the peer"


def bare(root: Path) -> int:
    """Call stat on every file and nothing else, as the lower bound for any scan."""
    files, left = 0, [os.fsencode(root)]
    while left:
        with os.scandir(left.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    left.append(entry.path)
                else:
                    entry.stat(follow_symlinks=False)
                    files += 1
    return files


def tree(root: Path, files: int, per_folder: int) -> None:
    """Make a tree like those of web sites: directories of *each* files, twenty in a parent."""
    for number in range(files // per_folder):
        folder = root / f"site{number // 400}" / f"part{number // 20 % 20}" / f"folder{number % 20}"
        folder.mkdir(parents=True)
        for name in range(per_folder):
            (folder / f"file-{name:05}.html").write_bytes(b"%d" % (number % 50))


@pytest.mark.parametrize("per_folder", [100, 10, 3])
def bench_unchanged(per_folder: int, table: Table, tmp_path: Path) -> None:
    files = table.amount(30_000, 300) // per_folder * per_folder
    tree(tmp_path / "tree", files, per_folder)
    harness = ScanHarness(tmp_path / "state")
    harness.scan(tmp_path / "tree")

    def ours() -> None:
        observer = harness.scan(tmp_path / "tree")
        assert (observer.summary.counts.unchanged, harness.read) == (files, 0)

    with one_core():
        times = table.race(ours=ours, peer=lambda: bare(tmp_path / "tree"), rounds=7)
    table.add(
        f"unchanged tree, {files:,} files, {per_folder} a directory",
        times,
        against="os.scandir and stat of the same tree, one core; both from the page cache",
        target=at_most(2.5, "x"),
        inverse=True,
        why="directories are opened safely and held, which alone is 1.5 times bare at 3 files each",
    )


@pytest.fixture
def pictures(tmp_path: Path, table: Table) -> list[Path]:
    """Make JPEGs from 0.08 to 6 megapixels, the same number of each size."""
    rows = []
    for number, size in enumerate(SIDES * table.amount(10) if not table.smoke else SIDES[:2]):
        path = tmp_path / "pictures" / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encode(grainy(photo(number, size)), "jpeg", quality=85))
        rows.append(path)
    return rows


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(Plan(ALL, quick=True), JOBS) as pool:
        assert pool.recipe
        yield pool


def scan_of(folder: Path, pool: WorkerPool, states: Path) -> Callable[[], None]:
    """Return a first scan that uses a new state each time and a pool that is already running."""
    pipeline = Pipeline(pool, MatcherSet([ConfiguredMatcher(KnowingMatcher())]))
    request = ScanRequest((os.fsencode(folder),), ExclusionRules([]), jobs=JOBS)

    def scan() -> None:
        state = Path(mkdtemp(dir=states))
        observer = RememberingObserver()
        with Store.open(state) as store:
            ScanRun(
                store=store,
                pipeline=pipeline,
                request=request,
                observer=observer,
                stop=threading.Event(),
            ).run()
        shutil.rmtree(state)
        assert observer.summary.counts.read == len(list(folder.iterdir()))

    return scan


def copied(pictures: list[Path], folder: Path, times: int) -> list[Path]:
    """Copy all pictures *times*, so that the fixed costs of a scan do not count."""
    folder.mkdir()
    for number, path in enumerate(pictures * times):
        shutil.copyfile(path, folder / f"{number}.jpg")
    return sorted(folder.iterdir())


def bench_first_scan(table: Table, pictures: list[Path], pool: WorkerPool, tmp_path: Path) -> None:
    copies = copied(pictures, tmp_path / "copies", table.amount(4))
    name = f"first scan, {len(copies)} JPEGs of 0.08 to 6 MP, two workers"
    against = f"ProcessPoolExecutor(2): hashlib thrice, {named('threatexchange', 'imagehash')}"
    against += "; the processor time is that of the parents alone"
    target = at_least(10, "x")
    if not installed("threatexchange"):
        table.missing(name, against=against, target=target, why=INSTALL)
        return
    with ProcessPoolExecutor(JOBS, get_context("spawn")) as workers:

        def peer() -> None:
            list(workers.map(peers_fingerprint, copies))

        run = scan_of(tmp_path / "copies", pool, tmp_path)
        times = table.race(ours=run, peer=peer, rounds=3)
    why = "the gain is 16 to 20 at 12 MP and 4 at 0.3 MP; two of five here are no larger"
    table.add(name, times, against=against, target=target, why=why)


def bench_orchestration(
    table: Table, pictures: list[Path], pool: WorkerPool, tmp_path: Path
) -> None:
    folder = tmp_path / "copies"
    copies = copied(pictures, folder, table.amount(6))

    def fingerprint(path: Path) -> None:
        with path.open("rb", buffering=0) as file:
            pool.fingerprint(file.fileno())

    def alone() -> None:
        with ThreadPoolExecutor(JOBS) as threads:
            list(threads.map(fingerprint, copies))

    times = table.race(ours=scan_of(folder, pool, tmp_path), peer=alone, rounds=7)
    table.add(
        f"scan orchestration, {len(copies)} JPEGs",
        times,
        against="the same worker pool fingerprinting the same files, and nothing else;"
        " the processor time is that of the parent alone",
        target=at_most(1.15, "x"),
        inverse=True,
    )
