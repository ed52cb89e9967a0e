"""A gap is recorded, covered by a walk, and closed; no file stays unjudged."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest

from hashwacht.core.types import Outcome
from hashwacht.core.watch_events import Cause, Lane
from hashwacht.testing.fakes import HeldFingerprinter
from support.daemon.daemon_harness import DaemonHarness, digest
from support.deep import NAME, deepened
from support.watch.watching import SilentWatch


def test_a_root_that_was_never_watched_is_compared_once(harness: DaemonHarness, root: Path) -> None:
    harness.matcher.known.add(digest(b"known"))
    (root / "a").write_bytes(b"known")
    (root / "b").write_bytes(b"harmless")
    with harness.running():
        harness.wait_for(lambda: not harness.unjudged_files(root), "looked up")
        harness.wait_until_done()
    assert harness.casework.paths(Outcome.MATCH) == {bytes(root / "a")}
    assert harness.causes() == {Cause.STARTED}
    assert harness.store.gaps.load_open() == []


def test_over_long_paths_leave_no_gap_open(harness: DaemonHarness, root: Path) -> None:
    """Of 5 KiB, which no system call accepts, and of 20 KiB, which no walk follows."""
    harness.matcher.known.add(digest(b"known"))
    with harness.running():
        (root / "a").mkdir()
        (root / "b").mkdir()
        os.close(deepened(root / "b", 100))
        innermost = deepened(root / "a", 25)
        file = os.open("file", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=innermost)
        os.write(file, b"known")
        os.close(file)
        os.close(innermost)
        path = b"/".join([bytes(root / "a"), *[NAME.encode()] * 25, b"file"])
        harness.wait_for(lambda: harness.casework.paths(Outcome.MATCH) == {path}, "found")
        harness.wait_until_done()
        harness.wait_for(lambda: not harness.store.gaps.load_open(), "covered")


def test_files_that_arrived_unwatched_are_found_by_a_walk(
    harness: DaemonHarness, root: Path
) -> None:
    for number in range(30):
        (root / f"{number}").write_bytes(b"%d" % number)
    with harness.running():
        harness.wait_for(lambda: not harness.unjudged_files(root), "looked up")
        harness.wait_until_done()
    last = harness.store.gaps.load_heartbeats()["uploads"].at
    (root / "new").write_bytes(b"new")
    (root / "3").write_bytes(b"changed")
    (root / "7").unlink()
    before, harness.counting.read = harness.counting.read, 0
    with harness.running():
        harness.wait_for(lambda: not harness.unjudged_files(root), "looked up")
        harness.wait_until_done()
    assert before >= 30
    assert harness.counting.read == 2, "an unchanged file is not read"
    assert b"7" not in harness.store.files.load_directory(bytes(root))
    gap = next(gap for gap in harness.store.gaps.load_latest(9) if gap.cause is Cause.DOWNTIME)
    assert gap.began == last
    assert gap.closed is not None


def test_a_burst_that_overflows_every_queue_is_covered(harness: DaemonHarness, root: Path) -> None:
    harness.change(max_queued_events=64, max_backlog=200)
    for number in range(10):
        (root / f"{number}").mkdir()
    with harness.running():
        harness.wait_until_done()
        for number in range(4000):
            (root / f"{number % 10}" / f"{number}").write_bytes(b"%d" % number)
        harness.wait_for(lambda: not harness.unjudged_files(root), "looked up")
        harness.wait_until_done()
    assert Cause.QUEUE_FULL in harness.causes()
    assert harness.store.gaps.load_open() == []


def test_a_walk_keeps_its_findings_within_the_backlog(harness: DaemonHarness, root: Path) -> None:
    harness.change(max_backlog=100)
    for number in range(60):
        (root / f"{number}").mkdir()
        for name in range(20):
            (root / f"{number}" / f"{name}").write_bytes(b"%d/%d" % (number, name))
    deepest, ended = [0], threading.Event()

    def watch() -> None:
        while not ended.is_set():
            deepest[0] = max(deepest[0], harness.waiting(Lane.RECONCILE))

    watcher = threading.Thread(target=watch)
    watcher.start()
    with harness.running():
        harness.wait_for(lambda: not harness.unjudged_files(root), "looked up")
        harness.wait_until_done()
    ended.set()
    watcher.join()
    assert 0 < deepest[0] < 1200


def test_an_upload_is_served_before_what_a_walk_has_found(
    harness: DaemonHarness, root: Path
) -> None:
    harness.counting = fingerprinter = HeldFingerprinter(harness.fingerprinter(), but="upload")
    for number in range(400):
        (root / f"{number}").write_bytes(b"%d" % number)
    with harness.running():
        harness.wait_for(lambda: harness.waiting(Lane.RECONCILE) == 400, "found by the walk")
        (root / "upload").write_bytes(b"upload")
        harness.wait_for(lambda: harness.casework.files, "judged")
        assert {file.path for file in harness.casework.files} == {bytes(root / "upload")}
        fingerprinter.released.set()
        harness.wait_for(lambda: not harness.unjudged_files(root), "looked up")


@pytest.mark.alone
def test_a_dead_watch_is_detected_renewed_and_covered(harness: DaemonHarness, root: Path) -> None:
    deaf = SilentWatch()
    harness.watch = lambda: deaf
    harness.change(canary_interval=0.2)
    with harness.running():
        harness.wait_until_done()
        (root / "unheard").write_bytes(b"unheard")
        harness.wait_for(lambda: Cause.DEAD_WATCH in harness.causes(), "noticed")
        harness.wait_for(lambda: deaf.renewed, "renewed")
        harness.wait_for(lambda: not harness.unjudged_files(root), "looked up")
        harness.wait_for(lambda: not harness.store.gaps.load_open(), "closed")


def test_a_root_that_vanishes_and_comes_back_is_made_up_for(
    harness: DaemonHarness, root: Path, tmp_path: Path
) -> None:
    with harness.running():
        (root / "a").write_bytes(b"a")
        harness.wait_for(lambda: not harness.unjudged_files(root), "looked up")
        harness.wait_until_done()
        root.rename(tmp_path / "elsewhere")
        harness.wait_for(harness.has_unwatched_roots, "noticed")
        assert harness.store.files.load(bytes(root), b"a"), "no stored file is removed meanwhile"
        root.mkdir()
        (root / "b").write_bytes(b"b")
        harness.wait_for(lambda: not harness.unjudged_files(root), "looked up")
        harness.wait_for(lambda: not harness.store.gaps.load_open(), "closed")
        (root / "c").write_bytes(b"c")
        harness.wait_for(lambda: not harness.unjudged_files(root), "watched again")


def closed(harness: DaemonHarness) -> int:
    """Return the number of closed gaps."""
    return sum(gap.closed is not None for gap in harness.store.gaps.load_latest(99))


def test_stored_files_survive_another_directory_at_the_root(
    harness: DaemonHarness, root: Path, tmp_path: Path
) -> None:
    """A file system unmounted for a while is an example: none of its files is read again."""
    (root / "below").mkdir()
    (root / "below" / "a").write_bytes(b"a")
    with harness.running():
        harness.wait_for(lambda: not harness.unjudged_files(root), "looked up")
        harness.wait_until_done()
        root.rename(tmp_path / "elsewhere")
        root.mkdir()
        harness.wait_for(lambda: closed(harness) > 1, "compared")
        assert harness.store.files.load(bytes(root / "below"), b"a")
        before = closed(harness)
        root.rmdir()
        (tmp_path / "elsewhere").rename(root)
        harness.wait_for(lambda: closed(harness) > before, "compared")
        harness.wait_until_done()
    assert harness.counting.read == 1


@pytest.mark.alone
def test_a_root_is_unmounted_and_mounted_again(harness: DaemonHarness, root: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(root)]
    try:
        subprocess.run(mount, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"cannot mount: {getattr(error, 'stderr', error)}")
    try:
        with harness.running():
            (root / "a").write_bytes(b"a")
            harness.wait_for(lambda: not harness.unjudged_files(root), "looked up")
            subprocess.run(["umount", "--lazy", str(root)], check=True)
            harness.wait_for(
                lambda: harness.causes() & {Cause.UNMOUNTED, Cause.REPLACED}, "noticed"
            )
            subprocess.run(mount, check=True)
            (root / "b").write_bytes(b"b")
            harness.wait_for(lambda: not harness.unjudged_files(root), "looked up")
            harness.wait_for(lambda: not harness.store.gaps.load_open(), "closed")
    finally:
        subprocess.run(["umount", "--lazy", str(root)], check=True)


def test_directories_that_are_gone_are_forgotten(harness: DaemonHarness, root: Path) -> None:
    for name in ("stays", "goes"):
        (root / name / "below").mkdir(parents=True)
        (root / name / "below" / "f").write_bytes(name.encode())
    with harness.running():
        harness.wait_for(lambda: not harness.unjudged_files(root), "looked up")
        harness.wait_until_done()
    shutil.rmtree(root / "goes")
    with harness.running():
        harness.wait_until_done()
    assert harness.store.files.load_directory(bytes(root / "stays/below"))
    assert not harness.store.files.load_directory(bytes(root / "goes/below"))
    directories = harness.store.files.load_directories(bytes(root), b"", 99)
    assert bytes(root / "goes/below") not in directories


def test_an_unlistable_directory_stays_a_gap_until_it_is_listed(
    harness: DaemonHarness, root: Path
) -> None:
    if os.geteuid() == 0:
        pytest.skip("root can list everything: run it as another user")
    (root / "locked").mkdir()
    (root / "locked" / "f").write_bytes(b"f")
    (root / "locked").chmod(0)
    with harness.running():
        harness.wait_for(lambda: Cause.UNLISTED in harness.causes(), "recorded")
        (gap,) = [gap for gap in harness.store.gaps.load_open() if gap.cause is Cause.UNLISTED]
        assert gap.path == bytes(root / "locked")
    (root / "locked").chmod(0o700)
    with harness.running():
        harness.wait_for(lambda: not harness.store.gaps.load_open(), "closed")
        harness.wait_for(lambda: not harness.unjudged_files(root), "looked up")


def test_every_root_is_compared_from_time_to_time(harness: DaemonHarness, root: Path) -> None:
    deaf = SilentWatch()
    deaf.renewed = 1
    harness.watch = lambda: deaf
    harness.change(rescan_interval=0.5)
    with harness.running():
        harness.wait_until_done()
        (root / "unheard").write_bytes(b"unheard")
        harness.wait_for(lambda: not harness.unjudged_files(root), "looked up")
    assert Cause.PERIODIC in harness.causes()


@pytest.mark.alone  # measures time
def test_stopping_takes_no_longer_than_two_seconds(harness: DaemonHarness, root: Path) -> None:
    for number in range(3000):
        (root / f"{number}").write_bytes(b"%d" % number)
    with harness.running():
        harness.wait_for(lambda: harness.casework.files, "at work")
        began = time.monotonic()
    assert time.monotonic() - began < 2.5
