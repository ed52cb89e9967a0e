"""The daemon's scanner: latency of an upload, bursts, walks, and an idle daemon."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp

import psutil
import pytest

from benchmarks.measuring import Table, Times, at_least, at_most
from demo.pictures import encode, photo
from hashwacht.cases.case_opening import JudgedFile
from hashwacht.core.types import Action
from hashwacht.hashing import Plan
from hashwacht.hashing.workers.pool import WorkerPool
from hashwacht.matching.hashlists.manager import HashLists
from hashwacht.matching.hashlists.manifest import ListMetadata
from hashwacht.matching.hashlists.matcher import HashListMatcher
from hashwacht.matching.hashlists.parser import ParseOptions
from hashwacht.matching.matcher_set import ConfiguredMatcher, MatcherSet
from hashwacht.pipeline import Pipeline
from hashwacht.scan.scan import ScanRequest, ScanRun
from hashwacht.settings import DaemonSettings, RootSettings
from hashwacht.storage.store import Store
from hashwacht.testing.fakes import RememberingObserver
from hashwacht.walk.rules import ExclusionRules
from support.daemon.daemon_harness import DaemonHarness, digest
from support.daemon.daemon_program import DaemonProgram

JOBS = 2
ALL = ("md5", "sha1", "sha256", "pdq", "phash64", "dhash64")
SIZE = (320, 240)
JPEGS, TEXTS = "JPEGs", "texts"
SIZES = {JPEGS: f"of {SIZE[0]}x{SIZE[1]}", TEXTS: "of 5 kB"}
TEXT = b"a text of no kind\n" * 280


@dataclass
class Clocked:
    """Record when each path got its first verdict."""

    at: dict[bytes, float] = field(default_factory=dict)

    def apply_verdict(self, file: JudgedFile) -> Action:
        self.at.setdefault(file.path, time.monotonic())
        return Action.ALLOW

    def retry_due(self, now: float) -> None:
        pass


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    """Import a hash list of the size that an operator has."""
    text = "".join(f"sha256 {digest(b'listed %d' % number)}\n" for number in range(1000))
    source = tmp_path / "list.txt"
    source.write_text(text)
    installed = HashLists(tmp_path / "lists")
    with source.open("rb") as file:
        installed.import_list(file, ListMetadata("known"), ParseOptions())
    return tmp_path / "lists"


@pytest.fixture
def harness(tmp_path: Path, lists: Path) -> Iterator[DaemonHarness]:
    root = tmp_path / "storage"
    root.mkdir()
    with WorkerPool(Plan(ALL, quick=True), JOBS) as pool:
        assert pool.recipe
        made = DaemonHarness(
            tmp_path / "state",
            (RootSettings("uploads", root),),
            settings=DaemonSettings(),
            fingerprinter=lambda: pool,
            panel=lambda: MatcherSet([ConfiguredMatcher(HashListMatcher(lists))]),
            jobs=JOBS,
        )
        yield made
        made.close()


def pictures(number: int) -> list[bytes]:
    """Make small JPEGs; each gets distinct trailing bytes when it is written."""
    return [encode(photo(seed, SIZE), "jpeg", quality=85) for seed in range(number)]


@dataclass(frozen=True)
class Arrival:
    """So many *files* of one *kind*, *rate* a second; *most* milliseconds to the verdict."""

    rate: int
    files: int
    kind: str
    most: int


@pytest.mark.parametrize(
    "arrival",
    [
        Arrival(1, 10, JPEGS, 250),
        Arrival(100, 1000, JPEGS, 250),
        Arrival(200, 2000, TEXTS, 30),
        Arrival(1000, 5000, JPEGS, 30_000),
    ],
)
def bench_latency(arrival: Arrival, table: Table, harness: DaemonHarness, tmp_path: Path) -> None:
    rate, kind = arrival.rate, arrival.kind
    contents, clocked = pictures(10) if kind == JPEGS else [TEXT] * 10, Clocked()
    harness.casework = clocked  # type: ignore[assignment]  # it does what is needed of one
    files = table.amount(arrival.files, 5)
    written_at: dict[bytes, float] = {}
    with harness.running():
        harness.wait_until_done()
        began = time.monotonic()
        for number in range(files):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            path = tmp_path / "storage" / f"{number}.jpg"
            path.write_bytes(contents[number % 10] + b"%d" % number)
            written_at[bytes(path)] = time.monotonic()
        offered = files / (time.monotonic() - began)
        harness.wait_for(lambda: len(clocked.at) >= files, "judged")
        took = max(clocked.at.values()) - began
    late = sorted(clocked.at[path] - at for path, at in written_at.items())
    p50, p99 = late[len(late) // 2], late[min(len(late) - 1, int(len(late) * 0.99))]
    table.note(
        f"upload to verdict at {rate:,} {kind}/s, p99",
        p99 * 1000,
        f"p50 {p50 * 1000:.0f} ms; {files:,} {SIZES[kind]} offered at"
        f" {offered:.0f}/s, judged at {files / took:.0f}/s; two workers, a local list",
        against="the instant at which their writer has closed them",
        target=at_most(arrival.most, "ms"),
        why="a file waits for those before it, and all of them for the processor",
    )


def bench_sustained(table: Table, harness: DaemonHarness, tmp_path: Path, lists: Path) -> None:
    pictures_written, files = pictures(10), table.amount(3000, 20)
    source = tmp_path / "source"
    for number in range(files):
        path = source / f"{number // 100}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pictures_written[number % 10] + b"%d" % number)
    latencies, peer_seconds = [], []
    for _ in range(table.amount(3)):
        peer_seconds.append(scanned(source, harness, lists, tmp_path))
        latencies.append(watched(source, harness, files, tmp_path))
    table.add(
        f"sustained uploads, {files:,} JPEGs of {SIZE[0]}x{SIZE[1]} moved in at once",
        Times(tuple(latencies), tuple(peer_seconds), 0.0),
        against="`scan` of the same files with the same workers",
        target=at_least(0.8, "x"),
    )


def scanned(source: Path, harness: DaemonHarness, lists: Path, states: Path) -> float:
    """Run the first scan and return the seconds it took."""
    pipeline = Pipeline(
        harness.fingerprinter(), MatcherSet([ConfiguredMatcher(HashListMatcher(lists))])
    )
    began = time.monotonic()
    with Store.open(Path(mkdtemp(dir=states))) as store:
        ScanRun(
            store=store,
            pipeline=pipeline,
            request=ScanRequest((bytes(source),), ExclusionRules([]), jobs=JOBS),
            observer=RememberingObserver(),
            stop=threading.Event(),
        ).run()
    return time.monotonic() - began


def watched(source: Path, harness: DaemonHarness, files: int, states: Path) -> float:
    """Move the files in and return the seconds until the last one has its verdict."""
    harness.close()
    harness.state = Path(mkdtemp(dir=states))
    harness.store = Store.open(harness.state)
    harness.casework.files.clear()
    inside = states / "storage" / "moved in"
    with harness.running():
        harness.wait_until_done()
        began = time.monotonic()
        source.rename(inside)
        harness.wait_for(lambda: len(harness.casework.files) >= files, "judged")
        took = time.monotonic() - began
        harness.wait_until_done()
    inside.rename(source)
    return took


def bench_reconcile(table: Table, harness: DaemonHarness, tmp_path: Path) -> None:
    files = table.amount(10_000, 300)
    for number in range(files):
        path = tmp_path / "storage" / f"{number // 1000}" / f"{number // 50 % 20}" / f"{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % (number % 50))
    harness.patience = 300.0
    with harness.running():
        harness.wait_until_done()
    harness.counting.read = 0
    with harness.running():
        harness.wait_until_done()
    newest = harness.store.gaps.load_latest(1)[0]
    assert newest.closed is not None
    assert newest.ended is not None
    assert harness.counting.read == 0
    table.note(
        "reconciling walk of an unchanged root",
        files / (newest.closed - newest.ended),
        f"{files:,} files, 50 a directory, from the end of the gap to its closing",
        against="nothing: how fast downtime is made up for",
        target=at_least(10_000, "files/s"),
    )


@contextmanager
def real(tmp_path: Path) -> Iterator[tuple[DaemonProgram, psutil.Process, Path]]:
    """Run the installed scanner on a directory."""
    program, root = DaemonProgram(tmp_path), tmp_path / "root"
    root.mkdir()
    program.configuration.write_text(
        f'[daemon]\nruntime_directory = "{program.runtime}"\n[roots.uploads]\npath = "{root}"\n'
    )
    yield program, psutil.Process(), root


def bench_idle(table: Table, tmp_path: Path) -> None:
    with real(tmp_path) as (program, _, root):
        for number in range(table.amount(100_000, 200)):
            (root / f"{number // 1000}" / f"{number}").mkdir(parents=True)
        with program.scanner() as process, program.state() as store:
            program.wait_for(lambda: not store.gaps.load_open(), "compared", 300)
            scanner = psutil.Process(process.pid)
            processes = [scanner, *scanner.children(recursive=True)]
            before = sum(sum(process.cpu_times()[:2]) for process in processes)
            seconds = table.amount(20, 1)
            time.sleep(seconds)  # the idle time itself is measured
            used = sum(sum(process.cpu_times()[:2]) for process in processes) - before
            memory = sum(process.memory_info().rss for process in processes)
    table.note(
        "an idle scanner, 100,000 directories watched",
        used / seconds * 100,
        f"{memory / 1e6:.0f} MB resident, workers included; watchdog",
        against="one processor core",
        target=at_most(1.0, "%"),
    )


def bench_cost(table: Table, tmp_path: Path) -> None:
    """Texts, which cost the least to hash, arrive evenly."""
    rate, files = 200, table.amount(2000, 10)
    with (
        real(tmp_path) as (program, _, root),
        program.scanner() as process,
        program.state() as store,
    ):

        def wait_until_settled(name: str) -> None:
            path = bytes(root), name.encode()
            program.wait_for(lambda: store.files.load(*path), "recorded", 60)
            program.wait_for(lambda: not sum(store.journal.count().values()), "settled", 60)

        program.wait_for(lambda: not store.gaps.load_open(), "compared", 60)
        (root / "first").write_bytes(b"starts the workers")
        wait_until_settled("first")
        before, began = used_by(process.pid), time.monotonic()
        for number in range(files):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            (root / f"{number}").write_bytes(TEXT + b"%d" % number)
        offered = files / (time.monotonic() - began)
        wait_until_settled(f"{files - 1}")
        used = used_by(process.pid) - before
    table.note(
        f"processor time of the daemon for an upload, {rate} texts of 5 kB a second",
        used / files * 1000,
        f"offered at {offered:.0f}/s; scanner and workers",
        against="milliseconds",
        target=at_most(0.8, "ms"),
        why="each file is announced, journaled, read, recorded and settled by threads of Python",
    )


def used_by(pid: int) -> float:
    """Return the processor seconds of a scanner and its workers so far."""
    scanner = psutil.Process(pid)
    return sum(sum(each.cpu_times()[:2]) for each in (scanner, *scanner.children(recursive=True)))


def bench_flood(table: Table, tmp_path: Path) -> None:
    with real(tmp_path) as (program, _, root):
        for number in range(100):
            (root / f"{number}").mkdir()
        highest = 0
        with program.scanner() as process, program.state() as store:
            program.wait_for(lambda: not store.gaps.load_open(), "compared", 60)
            scanner = psutil.Process(process.pid)
            files = table.amount(25_000, 200)
            began = time.monotonic()
            for number in range(files):
                descriptor = os.open(root / f"{number % 100}" / f"{number}", os.O_CREAT)
                os.close(descriptor)
                if number % 500 == 0:
                    highest = max(highest, scanner.memory_info().rss)
            offered = files / (time.monotonic() - began)

            def done() -> bool:
                nonlocal highest
                highest = max(highest, scanner.memory_info().rss)
                depth = sum(store.journal.count().values())
                return not depth and not store.gaps.load_open()

            program.wait_for(done, "done", 600)
            took = time.monotonic() - began
    table.note(
        f"memory of the scanner in a flood of {files:,} files",
        highest / 1e6,
        f"without its workers; offered at {offered:,.0f}/s, all judged at {files / took:,.0f}/s",
        against="resident megabytes",
        target=at_most(400, "MB"),
    )
