"""A content that crashes workers is tried twice, and then skipped until the decoder changes."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from hashwacht.core.types import Outcome, Reason
from hashwacht.hashing import Limits, Plan
from hashwacht.hashing.workers.pool import WorkerPool
from hashwacht.matching.matcher_set import ConfiguredMatcher, MatcherSet
from hashwacht.pipeline import Pipeline
from hashwacht.scan.scan import ScanRequest, ScanRun
from hashwacht.storage.contents import StoredCrashLog
from hashwacht.storage.sqlite.database import Database
from hashwacht.storage.store import Store
from hashwacht.testing.fakes import CountingFingerprinter, KnowingMatcher, RememberingObserver
from hashwacht.walk.rules import ExclusionRules

LIMITS = Limits(timeout=0.5)
CULPRITS = "support.hostile.culprits:Culprits"


@dataclass
class ScanOutput:
    """The output of a scan, and the number of files it read."""

    observer: RememberingObserver
    read: int


def scan(state: Path, root: Path, *, full: bool = False, limits: Limits = LIMITS) -> ScanOutput:
    matcher = KnowingMatcher(accepts=frozenset({"sha256", "pdq"}))
    observer = RememberingObserver()
    plan = Plan(("sha256", "pdq"), limits)
    with Store.open(state) as store:
        pool = WorkerPool(plan, 2, task_factory=CULPRITS, crash_log=store.crash_log)
        counting = CountingFingerprinter(pool)
        with closing(
            Pipeline(counting, MatcherSet([ConfiguredMatcher(matcher, None)]))
        ) as pipeline:
            request = ScanRequest((bytes(root),), ExclusionRules([]), jobs=2, full=full)
            stop = threading.Event()
            ScanRun(
                store=store, pipeline=pipeline, request=request, observer=observer, stop=stop
            ).run()
    return ScanOutput(observer, counting.read)


def deaths(state: Path) -> list[int]:
    with closing(sqlite3.connect(state / "state.db")) as database:
        return [times for (times,) in database.execute("SELECT times FROM culprits")]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "uploads"
    root.mkdir()
    for name, content in {"bad": b"die", "good": b"good", "better": b"better"}.items():
        (root / name).write_bytes(content)
    while time.time_ns() < (root / "better").stat().st_ctime_ns + 20_000_000:
        time.sleep(0.005)
    return root


def test_a_file_that_crashes_workers_is_decoded_in_two_scans(tmp_path: Path, tree: Path) -> None:
    """Each scan is a restart: a new pool on the same state."""
    state = tmp_path / "state"
    culprit = {bytes(tree / "bad"): Reason.WORKER_DIED}
    for read, ended in ((3, [1]), (1, [2]), (0, [2]), (0, [2])):
        ran = scan(state, tree)
        assert (ran.read, deaths(state)) == (read, ended)
        assert ran.observer.reasons() == culprit
        assert ran.observer.summary.counts.undetermined == 1


def test_copies_of_a_blocked_content_are_only_asked_by_digest(tmp_path: Path, tree: Path) -> None:
    state = tmp_path / "state"
    scan(state, tree)
    scan(state, tree)
    (tree / "copy").write_bytes(b"die")
    ran = scan(state, tree, full=True)
    assert (ran.read, deaths(state)) == (4, [2])
    assert ran.observer.reasons() == dict.fromkeys(
        map(bytes, (tree / "bad", tree / "copy")), Reason.WORKER_DIED
    )
    with Store.open(state) as store:
        (number,) = store.contents.load_ids([_key(b"die")]).values()
        (content,) = store.contents.load([number]).values()
    assert "not decoded again" in content.fingerprint.skipped[0].detail
    assert content.answers[0].outcome is Outcome.NO_MATCH  # from the digests


def test_another_decoder_or_budget_tries_it_again(tmp_path: Path, tree: Path) -> None:
    state = tmp_path / "state"
    for _ in range(3):
        scan(state, tree)
    ran = scan(state, tree, limits=Limits(timeout=0.75))
    assert ran.read == 1
    assert deaths(state) == [2, 1]


def test_what_is_remembered_survives_and_belongs_to_one_decoder(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with closing(Database.open(path)) as database:
        culprits = StoredCrashLog(database)
        culprits.set_decoder("pillow/13")
        assert culprits.block_reason("ab" * 32) is None
        culprits.record_crash("ab" * 32, Reason.WORKER_DIED)
        assert culprits.block_reason("ab" * 32) is None
        culprits.record_crash("ab" * 32, Reason.TIMED_OUT)
    with closing(Database.open(path)) as database:
        culprits = StoredCrashLog(database)
        assert culprits.block_reason("ab" * 32) is None  # before any decoding
        culprits.set_decoder("pillow/13")
        assert culprits.block_reason("ab" * 32) is Reason.TIMED_OUT
        assert culprits.block_reason("cd" * 32) is None
        culprits.set_decoder("pillow/14")
        assert culprits.block_reason("ab" * 32) is None


def _key(content: bytes) -> str:
    import hashlib

    return hashlib.sha256(content).hexdigest()
