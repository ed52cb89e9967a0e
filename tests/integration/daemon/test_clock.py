"""The clock is set back or forward by hours during all work: nothing waits for it."""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path

import pytest

from hashwacht.core.types import Outcome
from hashwacht.core.watch_events import Announcement, Cause, Change, Lane
from hashwacht.testing.fakes import HeldFingerprinter
from support.daemon.daemon_harness import DaemonHarness, digest
from support.watch.watching import SilentWatch

HOURS = 5 * 3600.0
RECONCILER = "hashwacht.daemon.scanner.rescans.reconciler"

set_to = pytest.mark.parametrize("by", [-HOURS, HOURS], ids=["back", "forward"])


class Clock:
    """The real clock until it is set."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def clock(harness: DaemonHarness) -> Clock:
    harness.clock = clock = Clock()
    return clock


@set_to
def test_what_waits_in_the_journal_is_judged(
    harness: DaemonHarness, root: Path, clock: Clock, by: float
) -> None:
    harness.counting = fingerprinter = HeldFingerprinter(harness.fingerprinter())
    with harness.running():
        harness.wait_until_done()
        for number in range(600):
            (root / f"{number}").write_bytes(b"%d" % number)
        harness.wait_for(lambda: sum(harness.store.journal.count().values()) == 600, "journaled")
        clock.ahead = by
        (root / "later").write_bytes(b"later")
        fingerprinter.released.set()
        harness.wait_for(lambda: not harness.unjudged_files(root), "looked up")
        harness.wait_until_done()


def test_what_waited_before_a_restart_is_judged(
    harness: DaemonHarness, root: Path, clock: Clock
) -> None:
    harness.counting = fingerprinter = HeldFingerprinter(harness.fingerprinter())
    clock.ahead = HOURS
    with harness.running():
        harness.wait_until_done()
        for number in range(600):
            (root / f"{number}").write_bytes(b"%d" % number)
        harness.wait_for(lambda: sum(harness.store.journal.count().values()) == 600, "journaled")
    clock.ahead = 0.0
    fingerprinter.released.set()
    with harness.running():
        harness.wait_for(lambda: not harness.unjudged_files(root), "looked up")
        harness.wait_until_done()


def test_an_entry_with_the_time_before_the_change_is_judged(
    harness: DaemonHarness, root: Path, clock: Clock
) -> None:
    """A thread may read the clock before it is set back and record the entry afterwards."""
    harness.watch = SilentWatch
    harness.change(canary_interval=60.0)

    def announce(name: str, at: float) -> None:
        (root / name).write_bytes(name.encode())
        event = Announcement("uploads", bytes(root / name), change=Change.CLOSED)
        harness.store.journal.record([event], Lane.UPLOAD, at)
        harness.wait_for(lambda: not harness.unjudged_files(root), "looked up")

    with harness.running():
        harness.wait_until_done()
        clock.ahead = -HOURS
        announce("first", clock())
        announce("late", time.time())


@set_to
def test_a_file_that_was_read_a_moment_ago_is_read_again(
    harness: DaemonHarness, root: Path, clock: Clock, by: float
) -> None:
    with harness.running():
        (root / "a").write_bytes(b"first")
        harness.wait_for(lambda: harness.casework.files, "judged")
        clock.ahead = by
        (root / "a").write_bytes(b"second")
        harness.wait_for(lambda: not harness.unjudged_files(root), "looked up")


@set_to
def test_a_flood_is_made_up_for(
    harness: DaemonHarness, root: Path, clock: Clock, by: float
) -> None:
    harness.change(max_queued_events=4)
    with harness.running():
        harness.wait_until_done()
        for number in range(300):
            (root / f"{number}").write_bytes(b"%d" % number)
        harness.wait_for(harness.store.gaps.load_open, "missed")
        clock.ahead = by
        harness.wait_for(lambda: not harness.unjudged_files(root), "looked up")
        harness.wait_for(lambda: not harness.store.gaps.load_open(), "closed")


@set_to
@pytest.mark.alone
def test_a_deaf_watch_is_found_and_over_when_it_hears_again(
    harness: DaemonHarness, root: Path, clock: Clock, by: float
) -> None:
    harness.watch = SilentWatch
    harness.change(canary_interval=0.2)
    with harness.running():
        clock.ahead = by
        (root / "unheard").write_bytes(b"unheard")
        harness.wait_for(lambda: Cause.DEAD_WATCH in harness.causes(), "found")
        clock.ahead = 0.0
        harness.wait_for(lambda: not harness.store.gaps.load_open(), "ended")
        harness.wait_for(lambda: not harness.unjudged_files(root), "looked up")


@set_to
def test_a_service_that_was_silent_is_asked_again(
    harness: DaemonHarness, root: Path, clock: Clock, by: float
) -> None:
    harness.max_age = 1e9
    harness.matcher.silent = True
    harness.matcher.known.add(digest(b"known"))
    with harness.running():
        (root / "a").write_bytes(b"known")
        harness.wait_for(harness.store.pending.count, "waiting")
        clock.ahead = by
        harness.matcher.silent = False
        harness.wait_for(lambda: harness.casework.paths(Outcome.MATCH), "judged")


@set_to
def test_every_root_is_compared_in_its_time_and_no_more_often(
    harness: DaemonHarness, root: Path, clock: Clock, by: float, caplog: pytest.LogCaptureFixture
) -> None:
    harness.watch = SilentWatch
    harness.change(rescan_interval=3600.0, canary_interval=60.0)
    with (
        harness.running(),
        caplog.at_level(logging.INFO, RECONCILER),
    ):
        harness.wait_until_done()
        (root / "unheard").write_bytes(b"unheard")
        clock.ahead = by
        harness.wait_for(lambda: not harness.unjudged_files(root), "looked up")
        harness.wait_until_done()
        threading.Event().wait(2.0)  # it must not happen a second time
    assert len(caplog.records) <= 2


def test_an_unlistable_directory_is_retried_at_intervals(
    harness: DaemonHarness, root: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    if os.geteuid() == 0:
        pytest.skip("root can list everything: run it as another user")
    (root / "locked").mkdir(mode=0)
    harness.watch = SilentWatch
    harness.change(canary_interval=60.0)
    with (
        harness.running(),
        caplog.at_level(logging.INFO, RECONCILER),
    ):
        harness.wait_for(lambda: Cause.UNLISTED in harness.causes(), "recorded")
        harness.wait_until_done()
        clock.ahead = 1000.0
        threading.Event().wait(2.0)  # it must not repeat
    (root / "locked").chmod(0o700)  # so that the test's directory can be removed
    assert len(caplog.records) <= 2
