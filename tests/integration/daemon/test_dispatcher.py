"""Which entries the dispatcher hands out, and when."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from hashwacht.core.watch_events import Announcement, Lane
from hashwacht.daemon.scanner.dispatcher import IDLE, Dispatcher, FilePostponed, ReadTask
from hashwacht.daemon.scanner.runtime import RuntimeHandle
from support.daemon.daemon_harness import DaemonHarness


def handed_out(dispatcher: Dispatcher, seconds: float) -> ReadTask:
    work = dispatcher.tasks.get(timeout=seconds)
    assert work is not None
    return work


@pytest.mark.alone
def test_a_postponed_entry_is_handed_out_when_it_is_due(harness: DaemonHarness, root: Path) -> None:
    """It is not handed out at the dispatcher's next regular check."""
    stop, journal = threading.Event(), harness.store.journal
    dispatcher = Dispatcher(harness.store, RuntimeHandle(harness.parts()), stop)
    thread = threading.Thread(target=dispatcher.run)
    thread.start()
    try:
        journal.record([Announcement("uploads", bytes(root / "a"))], Lane.UPLOAD, time.time())
        dispatcher.wakeup.set()
        task, _, parts = handed_out(dispatcher, 5.0)
        time.sleep(IDLE / 10)  # by now the dispatcher waits; no event shows that
        due = time.time() + IDLE / 10
        journal.postpone({task.entry: due})
        dispatcher.read_finished(FilePostponed(task, due))
        dispatcher.done([FilePostponed(task, due)], parts)
        file, _, _ = handed_out(dispatcher, IDLE / 2)
        assert (file.entry.path, file.entry.attempts) == (task.entry.path, 1)
    finally:
        stop.set()
        dispatcher.wakeup.set()
        thread.join()


def test_a_large_file_in_progress_is_no_hang(harness: DaemonHarness, root: Path) -> None:
    stop = threading.Event()
    dispatcher = Dispatcher(harness.store, RuntimeHandle(harness.parts()), stop)
    thread = threading.Thread(target=dispatcher.run)
    thread.start()
    try:
        announcement = Announcement("uploads", bytes(root / "a"))
        harness.store.journal.record([announcement], Lane.UPLOAD, time.time())
        dispatcher.wakeup.set()
        task, _, _ = handed_out(dispatcher, 5.0)
        harness.wait_for(lambda: dispatcher.is_stuck(3 * IDLE), "stuck")
        dispatcher.set_large(task.entry)
        harness.wait_for(lambda: not dispatcher.is_stuck(3 * IDLE), "alive")
    finally:
        stop.set()
        dispatcher.wakeup.set()
        thread.join()
