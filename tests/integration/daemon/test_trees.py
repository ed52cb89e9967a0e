"""Directories that are moved in: long walks yield to short ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hashwacht.core.watch_events import Announcement, Lane
from hashwacht.daemon.scanner.rescans.trees import TreeWalker
from hashwacht.daemon.scanner.runtime import RuntimeHandle
from support.daemon.daemon_harness import DaemonHarness


@contextmanager
def walking(harness: DaemonHarness, lane: Lane, brief: float) -> Iterator[None]:
    """Walk the trees of a lane."""
    stop = threading.Event()
    trees = TreeWalker(
        harness.store,
        RuntimeHandle(harness.parts()),
        stop,
        lane=lane,
        has_uploads=lambda: False,
        on_work=lambda: None,
        max_upload_seconds=brief,
    )
    thread = threading.Thread(target=trees.run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        trees.wakeup.set()
        thread.join()


def waiting(harness: DaemonHarness, lane: Lane) -> set[bytes]:
    return {entry.path for entry in harness.store.journal.load_due_trees(lane, time.time(), 99)}


def moved_in(harness: DaemonHarness, root: Path) -> None:
    for number in range(20):
        (root / "archive" / f"{number}").mkdir(parents=True)
        (root / "archive" / f"{number}" / "f").write_bytes(b"%d" % number)
    announced = [Announcement("uploads", bytes(root / "archive"), tree=True)]
    harness.store.journal.record(announced, Lane.UPLOAD, time.time())


def test_a_directory_that_takes_long_leaves_the_upload_lane(
    harness: DaemonHarness, root: Path
) -> None:
    moved_in(harness, root)
    with walking(harness, Lane.UPLOAD, brief=0.0):
        harness.wait_for(lambda: not waiting(harness, Lane.UPLOAD), "put off")
    assert waiting(harness, Lane.RECONCILE) == {bytes(root / "archive")}
    with walking(harness, Lane.RECONCILE, brief=0.0):
        harness.wait_for(lambda: not waiting(harness, Lane.RECONCILE), "walked")
    due = [harness.store.journal.load_due(lane, time.time(), 99) for lane in Lane]
    assert {entry.path for entries in due for entry in entries} == {
        bytes(root / "archive" / f"{number}" / "f") for number in range(20)
    }


def test_a_small_directory_is_walked_in_the_upload_lane(harness: DaemonHarness, root: Path) -> None:
    moved_in(harness, root)
    with walking(harness, Lane.UPLOAD, brief=60.0):
        harness.wait_for(lambda: not waiting(harness, Lane.UPLOAD), "walked")
    assert not waiting(harness, Lane.RECONCILE)
    assert harness.waiting(Lane.UPLOAD) == 20
