"""Directories that are moved in: long walks yield to short ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hashwacht.core.watch_events import Announcement, Lane
from hashwacht.daemon.scanner.runtime import RuntimeHandle
from hashwacht.daemon.scanner.trees import TreeWalker
from support.daemon.daemon_harness import DaemonHarness


@contextmanager
def walking(bench: DaemonHarness, lane: Lane, brief: float) -> Iterator[None]:
    """Walk the trees of a lane."""
    stop = threading.Event()
    trees = TreeWalker(
        bench.store,
        RuntimeHandle(bench.parts()),
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


def waiting(bench: DaemonHarness, lane: Lane) -> set[bytes]:
    return {entry.path for entry in bench.store.journal.load_due_trees(lane, time.time(), 99)}


def moved_in(bench: DaemonHarness, root: Path) -> None:
    for number in range(20):
        (root / "archive" / f"{number}").mkdir(parents=True)
        (root / "archive" / f"{number}" / "f").write_bytes(b"%d" % number)
    announced = [Announcement("uploads", bytes(root / "archive"), tree=True)]
    bench.store.journal.record(announced, Lane.UPLOAD, time.time())


def test_a_directory_that_takes_long_leaves_the_upload_lane(
    bench: DaemonHarness, root: Path
) -> None:
    moved_in(bench, root)
    with walking(bench, Lane.UPLOAD, brief=0.0):
        bench.wait_for(lambda: not waiting(bench, Lane.UPLOAD), "put off")
    assert waiting(bench, Lane.RECONCILE) == {bytes(root / "archive")}
    with walking(bench, Lane.RECONCILE, brief=0.0):
        bench.wait_for(lambda: not waiting(bench, Lane.RECONCILE), "walked")
    due = [bench.store.journal.load_due(lane, time.time(), 99) for lane in Lane]
    assert {entry.path for entries in due for entry in entries} == {
        bytes(root / "archive" / f"{number}" / "f") for number in range(20)
    }


def test_a_small_directory_is_walked_in_the_upload_lane(bench: DaemonHarness, root: Path) -> None:
    moved_in(bench, root)
    with walking(bench, Lane.UPLOAD, brief=60.0):
        bench.wait_for(lambda: not waiting(bench, Lane.UPLOAD), "walked")
    assert not waiting(bench, Lane.RECONCILE)
    assert bench.waiting(Lane.UPLOAD) == 20
