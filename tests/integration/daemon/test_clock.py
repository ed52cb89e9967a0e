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
from support.deep import deepened
from support.watch.watching import SilentWatch

HOURS = 5 * 3600.0

set_to = pytest.mark.parametrize("by", [-HOURS, HOURS], ids=["back", "forward"])


class Clock:
    """The real clock until it is set."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def clock(bench: DaemonHarness) -> Clock:
    bench.clock = clock = Clock()
    return clock


@set_to
def test_what_waits_in_the_journal_is_judged(
    bench: DaemonHarness, root: Path, clock: Clock, by: float
) -> None:
    bench.counting = fingerprinter = HeldFingerprinter(bench.fingerprinter())
    with bench.running():
        bench.wait_until_done()
        for number in range(600):
            (root / f"{number}").write_bytes(b"%d" % number)
        bench.wait_for(lambda: sum(bench.store.journal.count().values()) == 600, "journaled")
        clock.ahead = by
        (root / "later").write_bytes(b"later")
        fingerprinter.released.set()
        bench.wait_for(lambda: not bench.unjudged_files(root), "looked up")
        bench.wait_until_done()


def test_what_waited_before_a_restart_is_judged(
    bench: DaemonHarness, root: Path, clock: Clock
) -> None:
    bench.counting = fingerprinter = HeldFingerprinter(bench.fingerprinter())
    clock.ahead = HOURS
    with bench.running():
        bench.wait_until_done()
        for number in range(600):
            (root / f"{number}").write_bytes(b"%d" % number)
        bench.wait_for(lambda: sum(bench.store.journal.count().values()) == 600, "journaled")
    clock.ahead = 0.0
    fingerprinter.released.set()
    with bench.running():
        bench.wait_for(lambda: not bench.unjudged_files(root), "looked up")
        bench.wait_until_done()


def test_an_entry_with_the_time_before_the_change_is_judged(
    bench: DaemonHarness, root: Path, clock: Clock
) -> None:
    """A thread may read the clock before it is set back and record the entry afterwards."""
    bench.watch = SilentWatch
    bench.change(canary_interval=60.0)

    def announce(name: str, at: float) -> None:
        (root / name).write_bytes(name.encode())
        event = Announcement("uploads", bytes(root / name), change=Change.CLOSED)
        bench.store.journal.record([event], Lane.UPLOAD, at)
        bench.wait_for(lambda: not bench.unjudged_files(root), "looked up")

    with bench.running():
        bench.wait_until_done()
        clock.ahead = -HOURS
        announce("first", clock())
        announce("late", time.time())


@set_to
def test_a_file_that_was_read_a_moment_ago_is_read_again(
    bench: DaemonHarness, root: Path, clock: Clock, by: float
) -> None:
    with bench.running():
        (root / "a").write_bytes(b"first")
        bench.wait_for(lambda: bench.casework.files, "judged")
        clock.ahead = by
        (root / "a").write_bytes(b"second")
        bench.wait_for(lambda: not bench.unjudged_files(root), "looked up")


@set_to
def test_a_flood_is_made_up_for(bench: DaemonHarness, root: Path, clock: Clock, by: float) -> None:
    bench.change(max_queued_events=4)
    with bench.running():
        bench.wait_until_done()
        for number in range(300):
            (root / f"{number}").write_bytes(b"%d" % number)
        bench.wait_for(bench.store.gaps.load_open, "missed")
        clock.ahead = by
        bench.wait_for(lambda: not bench.unjudged_files(root), "looked up")
        bench.wait_for(lambda: not bench.store.gaps.load_open(), "closed")


@set_to
@pytest.mark.alone
def test_a_deaf_watch_is_found_and_over_when_it_hears_again(
    bench: DaemonHarness, root: Path, clock: Clock, by: float
) -> None:
    bench.watch = SilentWatch
    bench.change(canary_interval=0.2)
    with bench.running():
        clock.ahead = by
        (root / "unheard").write_bytes(b"unheard")
        bench.wait_for(lambda: Cause.DEAD_WATCH in bench.causes(), "found")
        clock.ahead = 0.0
        bench.wait_for(lambda: not bench.store.gaps.load_open(), "ended")
        bench.wait_for(lambda: not bench.unjudged_files(root), "looked up")


@set_to
def test_a_service_that_was_silent_is_asked_again(
    bench: DaemonHarness, root: Path, clock: Clock, by: float
) -> None:
    bench.max_age = 1e9
    bench.matcher.silent = True
    bench.matcher.known.add(digest(b"known"))
    with bench.running():
        (root / "a").write_bytes(b"known")
        bench.wait_for(bench.store.pending.count, "waiting")
        clock.ahead = by
        bench.matcher.silent = False
        bench.wait_for(lambda: bench.casework.paths(Outcome.MATCH), "judged")


@set_to
def test_every_root_is_compared_in_its_time_and_no_more_often(
    bench: DaemonHarness, root: Path, clock: Clock, by: float, caplog: pytest.LogCaptureFixture
) -> None:
    bench.watch = SilentWatch
    bench.change(rescan_interval=3600.0, canary_interval=60.0)
    with bench.running(), caplog.at_level(logging.INFO, "hashwacht.daemon.scanner.reconciler"):
        bench.wait_until_done()
        (root / "unheard").write_bytes(b"unheard")
        clock.ahead = by
        bench.wait_for(lambda: not bench.unjudged_files(root), "looked up")
        bench.wait_until_done()
        threading.Event().wait(2.0)  # it must not happen a second time
    assert len(caplog.records) <= 2


def test_an_unlistable_directory_is_retried_at_intervals(
    bench: DaemonHarness, root: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A path longer than the walker follows represents any directory that cannot be listed."""
    os.close(deepened(root, 90))
    bench.watch = SilentWatch
    bench.change(canary_interval=60.0)
    with bench.running(), caplog.at_level(logging.INFO, "hashwacht.daemon.scanner.reconciler"):
        bench.wait_for(lambda: Cause.UNLISTED in bench.causes(), "recorded")
        bench.wait_until_done()
        clock.ahead = 1000.0
        threading.Event().wait(2.0)  # it must not repeat
    assert len(caplog.records) <= 2
