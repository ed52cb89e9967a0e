"""What a scan reads, looks up, reports and stores."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from hashwacht.core.errors import StorageBusy, UsageError
from hashwacht.core.ports import UploadTurn
from hashwacht.core.types import Fingerprint, Outcome, Reason
from hashwacht.hashing import Plan
from hashwacht.hashing.in_process import InProcessFingerprinter
from hashwacht.scan.progress import Phase, ScanResult
from hashwacht.settings.units import RateLimit, RateUnit
from hashwacht.storage.runs import RunState
from hashwacht.storage.store import Store
from hashwacht.testing.fakes import RememberingObserver
from hashwacht.walk.rules import ExclusionRules, parse_rules
from support.scan_harness import ScanHarness

NOBODY = 65534


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_every_file_gets_a_verdict_and_matches_are_listed(harness: ScanHarness, root: Path) -> None:
    harness.matcher.known = {sha256(b"two")}
    observer = harness.scan(root)
    counts = observer.summary.counts
    assert observer.paths(Outcome.MATCH) == {bytes(root / "a/two")}
    assert (counts.files, counts.matches, counts.undetermined) == (3, 1, 0)
    assert sorted(harness.matcher.asked) == sorted(map(sha256, (b"one", b"two", b"three")))


def test_an_unchanged_file_is_neither_read_nor_asked_again(
    harness: ScanHarness, root: Path
) -> None:
    harness.matcher.known = {sha256(b"two")}
    harness.scan(root)
    harness.matcher.asked.clear()
    observer = harness.scan(root)
    assert (harness.read, harness.matcher.asked) == (0, [])
    assert observer.paths(Outcome.MATCH) == {bytes(root / "a/two")}
    assert (observer.summary.counts.files, observer.summary.counts.unchanged) == (3, 3)


def test_a_changed_file_with_restored_times_is_read_again(harness: ScanHarness, root: Path) -> None:
    harness.scan(root)
    path = root / "a/one"
    before = path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    harness.scan(root)
    assert harness.read == 1


def test_a_full_scan_reads_everything_and_asks_nothing_again(
    harness: ScanHarness, root: Path
) -> None:
    harness.scan(root)
    harness.matcher.asked.clear()
    harness.scan(root, full=True)
    assert (harness.read, harness.matcher.asked) == (3, [])


def test_a_content_under_two_names_is_asked_once(harness: ScanHarness, root: Path) -> None:
    harness.scan(root)
    harness.matcher.asked.clear()
    (root / "copy").write_bytes(b"one")
    harness.scan(root)
    assert (harness.read, harness.matcher.asked) == (1, [])


def test_hard_links_are_read_once_and_all_names_reported(harness: ScanHarness, root: Path) -> None:
    harness.matcher.known = {sha256(b"one")}
    names = [root / f"b/link{number}" for number in range(40)]
    for name in names:
        name.hardlink_to(root / "a/one")
    observer = harness.scan(root)
    assert harness.read == 3
    assert observer.paths(Outcome.MATCH) == {bytes(path) for path in (root / "a/one", *names)}
    path = root / "later"
    path.hardlink_to(root / "a/one")
    harness.scan(root)
    # The link changed the ctime of the file, so one of its names is read; no other is.
    assert harness.read == 1
    assert bytes(path) in harness.scan(root).paths(Outcome.MATCH)


def test_only_what_did_not_match_before_the_run_is_a_new_match(
    harness: ScanHarness, root: Path
) -> None:
    """The number of batches between the names of one content does not matter."""
    harness.clock = lambda: harness.matcher.now
    harness.matcher.known = {sha256(b"one")}
    for number in range(600):
        (root / f"a/{number:03}").write_bytes(b"%d" % number)
    (root / "z").mkdir()
    (root / "z/another").write_bytes(b"one")
    counts = harness.scan(root).summary.counts
    assert (counts.matches, counts.new_matches) == (2, 2)
    harness.matcher.now += 1000
    harness.matcher.known |= {sha256(b"two")}
    harness.matcher.revision = "2"
    (root / "z/a third").write_bytes(b"one")
    (root / "z/two").write_bytes(b"two")
    counts = harness.scan(root).summary.counts
    assert (counts.matches, counts.new_matches) == (5, 3), "one is new, two did not match"


def test_a_new_file_with_known_content_is_a_new_match(harness: ScanHarness, root: Path) -> None:
    harness.matcher.known = {sha256(b"two")}
    harness.scan(root)
    shutil.copyfile(root / "a/two", root / "copy")
    (root / "link").hardlink_to(root / "copy")
    (root / "a/one").write_bytes(b"two")
    counts = harness.scan(root).summary.counts
    assert (counts.matches, counts.new_matches) == (4, 3)
    counts = harness.scan(root).summary.counts
    assert (counts.matches, counts.new_matches) == (4, 0)


@pytest.mark.parametrize("full", [False, True])
def test_a_touched_file_is_no_new_match(harness: ScanHarness, root: Path, *, full: bool) -> None:
    """Nor is one that was written again with the same content, or is read in full."""
    harness.matcher.known = {sha256(b"two")}
    harness.scan(root)
    os.utime(root / "a/two")
    counts = harness.scan(root, full=full).summary.counts
    assert (harness.read, counts.matches, counts.new_matches) == (3 if full else 1, 1, 0)
    (root / "new").write_bytes(b"two")
    (root / "new").replace(root / "a/two")
    counts = harness.scan(root, full=full).summary.counts
    assert (harness.read, counts.matches, counts.new_matches) == (3 if full else 1, 1, 0)


def test_a_new_signal_type_makes_old_contents_be_read_again(
    harness: ScanHarness, root: Path
) -> None:
    harness.scan(root)
    harness.fingerprinter = lambda: InProcessFingerprinter(Plan(("sha256", "md5")))
    harness.scan(root)
    assert harness.read == 3
    harness.fingerprinter = lambda: InProcessFingerprinter(Plan(("md5",)))
    harness.scan(root)
    assert harness.read == 0


def test_a_failing_matcher_leaves_files_undetermined_until_later(
    harness: ScanHarness, root: Path
) -> None:
    harness.matcher.silent = True
    observer = harness.scan(root)
    assert set(observer.reasons().values()) == {Reason.UNANSWERED}
    assert observer.summary.reasons == {Reason.UNANSWERED: 3}
    harness.matcher.silent = False
    observer = harness.scan(root)
    assert (harness.read, observer.summary.counts.undetermined) == (0, 0)


def test_a_new_revision_of_a_matcher_is_asked_without_reading(
    harness: ScanHarness, root: Path
) -> None:
    harness.scan(root)
    harness.matcher.known, harness.matcher.revision = {sha256(b"three")}, "2"
    observer = harness.scan(root)
    assert harness.read == 0
    assert observer.paths(Outcome.MATCH) == {bytes(root / "b/c/three")}


def test_an_answer_that_is_too_old_is_asked_for_again(harness: ScanHarness, root: Path) -> None:
    harness.max_age, harness.clock = 100.0, lambda: harness.matcher.now
    harness.scan(root)
    harness.matcher.asked.clear()
    harness.matcher.now += 99
    harness.scan(root)
    assert harness.matcher.asked == []
    harness.matcher.now += 2
    harness.scan(root)
    assert len(harness.matcher.asked) == 3


@contextmanager
def as_ordinary_user(place: Path) -> Iterator[None]:
    """Become an ordinary user who owns *place*, since root may read everything."""
    if os.geteuid() != 0:
        yield
        return
    for path in (place, *place.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_unreadable_paths_are_reported_and_the_rest_is_scanned() -> None:
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        root = place / "storage"
        for name in ("open/file", "shut/file"):
            (root / name).parent.mkdir(parents=True)
            (root / name).write_bytes(name.encode())
        (root / "private").write_bytes(b"private")
        (root / "private").chmod(0)
        (root / "shut").chmod(0)
        with as_ordinary_user(place):
            observer = ScanHarness(place / "state").scan(root)
            repeated = ScanHarness(place / "state").scan(root)
        (root / "shut").chmod(0o700)
    for scan in (observer, repeated):
        assert scan.reasons() == {
            bytes(root / "shut"): Reason.UNREADABLE,
            bytes(root / "private"): Reason.UNREADABLE,
        }
        assert (scan.summary.counts.files, scan.summary.counts.errors) == (2, 1)


class Refusing(InProcessFingerprinter):
    """Fails to read one content, like a disk with a bad sector."""

    def __init__(self) -> None:
        super().__init__(Plan(("sha256",)))

    def fingerprint(self, fd: int, *, upload: UploadTurn | None = None) -> Fingerprint:
        if os.pread(fd, 3, 0) == b"two":
            raise OSError(5, "Input/output error")
        return super().fingerprint(fd, upload=upload)


def test_an_unreadable_file_is_undetermined_and_read_again(
    harness: ScanHarness, root: Path
) -> None:
    harness.fingerprinter = Refusing
    for _ in range(2):
        observer = harness.scan(root)
        assert observer.reasons() == {bytes(root / "a/two"): Reason.UNREADABLE}
        assert observer.summary.counts.files == 3
    harness.fingerprinter = lambda: InProcessFingerprinter(Plan(("sha256",)))
    observer = harness.scan(root)
    assert (harness.read, observer.reasons()) == (1, {})


def test_all_links_of_an_unreadable_file_are_reported(harness: ScanHarness, root: Path) -> None:
    (root / "link").hardlink_to(root / "a/two")
    harness.fingerprinter = Refusing
    observer = harness.scan(root)
    assert set(observer.reasons()) == {bytes(root / "a/two"), bytes(root / "link")}


class Writing(InProcessFingerprinter):
    """Writes to the file during every read."""

    def __init__(self) -> None:
        super().__init__(Plan(("sha256",)))

    def fingerprint(self, fd: int, *, upload: UploadTurn | None = None) -> Fingerprint:
        fingerprint = super().fingerprint(fd, upload=upload)
        with Path(f"/proc/self/fd/{fd}").open("ab") as file:
            file.write(b"more")
        return fingerprint


def test_a_file_that_changes_in_both_attempts_is_undetermined(
    harness: ScanHarness, root: Path
) -> None:
    shutil.rmtree(root / "b")
    harness.fingerprinter = Writing
    observer = harness.scan(root)
    assert set(observer.reasons().values()) == {Reason.CHANGED}
    assert harness.matcher.asked == []


def test_what_is_gone_is_forgotten_and_what_is_excluded_is_not(
    harness: ScanHarness, root: Path
) -> None:
    harness.scan(root)
    (root / "a/one").unlink()
    harness.request = replace(
        harness.request, rules=ExclusionRules(parse_rules(["b/", "two"], "test"))
    )
    harness.scan(root)
    harness.matcher.known = {sha256(b"one"), sha256(b"two"), sha256(b"three")}
    harness.matcher.revision = "2"
    observer = harness.recheck()
    assert observer.paths(Outcome.MATCH) == {bytes(root / "a/two"), bytes(root / "b/c/three")}
    shutil.rmtree(root / "b")
    harness.request = replace(harness.request, rules=ExclusionRules([]))
    assert harness.scan(root).paths(Outcome.MATCH) == {bytes(root / "a/two")}
    harness.matcher.known, harness.matcher.revision = set(), "3"
    assert harness.recheck().paths(Outcome.NO_MATCH) == {bytes(root / "a/two")}


def test_recheck_finds_a_newly_listed_content_without_its_file(
    harness: ScanHarness, root: Path
) -> None:
    harness.scan(root)
    root.rename(root.parent / "unmounted")
    harness.matcher.known, harness.matcher.revision = {sha256(b"three")}, "2"
    observer = harness.recheck()
    assert observer.paths(Outcome.MATCH) == {bytes(root / "b/c/three")}
    assert (observer.summary.counts.matches, observer.summary.counts.new_matches) == (1, 1)
    harness.matcher.asked.clear()
    assert harness.recheck().summary.counts.files == 0
    assert harness.matcher.asked == []


def test_a_recheck_says_that_it_asks_and_does_not_scan(harness: ScanHarness, root: Path) -> None:
    assert {progress.phase for progress in harness.scan(root).progresses} == {Phase.WALKING}
    assert {progress.phase for progress in harness.recheck().progresses} == {Phase.ASKING}


def test_recheck_reports_only_what_is_new(harness: ScanHarness, root: Path) -> None:
    harness.matcher.known = {sha256(b"one")}
    harness.scan(root)
    harness.matcher.known, harness.matcher.revision = {sha256(b"one"), sha256(b"two")}, "2"
    observer = harness.recheck()
    assert observer.paths(Outcome.MATCH) == {bytes(root / "a/two")}
    assert (observer.summary.counts.matches, observer.summary.counts.new_matches) == (2, 1)


def test_recheck_reports_a_withdrawn_match(harness: ScanHarness, root: Path) -> None:
    harness.matcher.known = {sha256(b"one")}
    harness.scan(root)
    harness.matcher.known, harness.matcher.revision = set(), "2"
    (result,) = harness.recheck().results
    assert (result.before, result.verdict.outcome) == (Outcome.MATCH, Outcome.NO_MATCH)
    harness.matcher.silent, harness.matcher.revision = True, "3"
    assert len(harness.recheck().results) == 3
    harness.matcher.silent = False
    assert harness.recheck().results == []


def test_recheck_asks_again_what_was_unanswered(harness: ScanHarness, root: Path) -> None:
    harness.matcher.silent = True
    harness.scan(root)
    assert harness.recheck().summary.counts.undetermined == 3
    harness.matcher.silent = False
    assert harness.recheck().summary.counts.undetermined == 0


def test_a_root_that_does_not_exist_is_an_error(harness: ScanHarness, root: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        harness.scan(root / "nowhere")


def test_two_runs_at_once_are_refused(harness: ScanHarness, root: Path) -> None:
    with Store.open(harness.state) as store, store.acquire_lock(), pytest.raises(StorageBusy):
        harness.scan(root)


class StopAt(RememberingObserver):
    """Requests a stop at the first result."""

    def __init__(self, stop: threading.Event) -> None:
        super().__init__()
        self._stop = stop

    def result(self, result: ScanResult) -> None:
        super().result(result)
        self._stop.set()


def test_a_resumed_scan_counts_every_file_once(harness: ScanHarness, root: Path) -> None:
    for number in range(30):
        (root / f"dir{number}").mkdir()
        for name in range(20):
            (root / f"dir{number}/{name}").write_bytes(b"%d %d" % (number, name))
    harness.matcher.silent = True
    stop = threading.Event()
    harness.observer = lambda: StopAt(stop)
    harness.request = replace(harness.request, rate=RateLimit(300, RateUnit.FILES))
    observer = harness.scan(root, stop=stop)
    assert observer.summary.state is RunState.INTERRUPTED
    first = harness.read
    assert 0 < first < 603
    harness.observer, harness.matcher.silent = RememberingObserver, False
    harness.request = replace(harness.request, rate=None)
    observer = harness.scan(root)
    assert observer.resumed
    assert observer.summary.state is RunState.FINISHED
    assert observer.summary.counts.files == 603
    assert harness.read <= 603 - first + 5
    assert not harness.scan(root).resumed


def test_restart_starts_over(harness: ScanHarness, root: Path) -> None:
    stop = threading.Event()
    stop.set()
    harness.scan(root, stop=stop)
    assert not harness.scan(root, restart=True).resumed


def test_a_rate_is_kept(harness: ScanHarness, root: Path) -> None:
    """Of eleven bytes in three files at 20 a second, the last waits for the first eight or six."""
    harness.request = replace(harness.request, rate=RateLimit(20, RateUnit.BYTES))
    observer = harness.scan(root)
    assert observer.summary.counts.files == 3
    assert observer.summary.elapsed >= 6 / 20
