"""Comparing directories that change meanwhile."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from hashwacht.core.watch_events import Lane
from hashwacht.daemon.scanner.rescans.trees import Comparison
from hashwacht.engine.compare import required_freshness
from support.daemon.daemon_harness import DaemonHarness


def test_a_vanished_directory_is_not_an_unlisted_one(harness: DaemonHarness, root: Path) -> None:
    """It appears and vanishes as fast as possible; a gap would be open for a quarter of an hour."""
    parts, folder, ended = harness.parts(), root / "folder", threading.Event()
    today = required_freshness(harness.store, parts.pipeline, time.time())

    def come_and_go() -> None:
        while not ended.is_set():
            folder.mkdir()
            folder.rmdir()

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        for _ in range(3000):
            comparison = Comparison(
                harness.store,
                parts.roots.all[0],
                today,
                is_reread=lambda _: False,
                lane=Lane.UPLOAD,
                clock=time.time,
                stop=threading.Event(),
                step=lambda: None,
            )
            assert comparison.walk(bytes(folder)).unlisted == []
    finally:
        ended.set()
        thread.join()
