"""A flood of files that overflows the kernel's queue, in a root that is replaced: none is missed.

``HASHWACHT_FLOOD`` sets the number of files; a full run has 100,000.  ``--log-cli-level=INFO``
shows how long it took.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest

from hashwacht.audit.log import FILE_NAME, AuditLog
from hashwacht.core.watch_events import Cause
from hashwacht.storage.store import Store
from support.daemon.daemon_harness import unjudged_files
from support.kernel import may_use_fanotify, small_queue
from support.processes import PROGRAMS, wait_for
from support.program import Program

WRITER = PROGRAMS / "fill_root.py"
FILES = int(os.environ.get("HASHWACHT_FLOOD", "4000"))
BURST = 200
"""Files written while the daemon is suspended; the kernel's queue holds 64 events."""
FULL = {Cause.OVERFLOW, Cause.QUEUE_FULL}
OTHER = {Cause.REPLACED, Cause.UNMOUNTED}

pytestmark = pytest.mark.alone
log = logging.getLogger(__name__)


@pytest.fixture(params=[("inotify", "inotify"), ("fanotify", "fanotify")], ids=lambda p: p[1])
def watch(request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield a watch method, with a small event queue in the kernel."""
    setting, kernel = request.param
    if kernel == "fanotify" and not may_use_fanotify():
        pytest.skip("fanotify needs CAP_SYS_ADMIN")
    try:
        with small_queue(kernel):
            yield setting
    except OSError as error:
        pytest.skip(f"the kernel's queue cannot be made small: {error}")


@contextmanager
def suspended(pid: int) -> Iterator[None]:
    """Suspend a daemon and its children: none of them reads the kernel's queue."""
    daemon = psutil.Process(pid)
    processes = [daemon, *daemon.children(recursive=True)]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


def causes(store: Store) -> set[Cause]:
    return {gap.cause for gap in store.gaps.load_latest(9999)}


def settled(store: Store) -> bool:
    """Return whether all work is done."""
    return not any(store.journal.count().values()) and not store.gaps.load_open()


def test_a_flood_leaves_no_file_unjudged_and_no_gap_open(
    program: Program, tmp_path: Path, watch: str
) -> None:
    root, state = tmp_path / "storage", program.home / "state"
    root.mkdir()
    with program.configuration.open("a") as file:
        file.write(
            f'[daemon]\nwatch_method = "{watch}"\nmax_queued_events = 1000\n[roots.web]\npath ='
            f' "{root}"\n'
        )
    with program.start("daemon") as daemon:
        for pipe in (daemon.stdout, daemon.stderr):
            assert pipe is not None
            threading.Thread(target=pipe.read, daemon=True).start()
        try:
            wait_for((state / "state.db").exists, 60)
            with closing(Store.open(state)) as store:
                wait_for(lambda: bool(store.gaps.load_last_walk("web")), 60)
                began = time.monotonic()
                # Before the root is replaced: its watch, which holds the events, ends then.
                with suspended(daemon.pid):
                    for number in range(BURST):
                        (root / f"burst-{number}").write_bytes(b"burst %d" % number)
                wait_for(lambda: bool(FULL & causes(store)), 60)
                subprocess.run([sys.executable, WRITER, root, str(FILES)], check=True)
                duration = time.monotonic() - began
                wait_for(
                    lambda: settled(store) and not unjudged_files(store, root), 60 + FILES / 200
                )
                took = time.monotonic() - began
                files = sum(len(names) for _, _, names in os.walk(root))
                gaps = store.gaps.load_latest(9999)
        finally:
            daemon.terminate()
    counts = Counter(gap.cause.value for gap in gaps)
    log.info("%d files in %.1f s, all asked after %.1f s; %s", files, duration, took, counts)
    assert files >= FILES + BURST
    assert FULL & {gap.cause for gap in gaps}
    assert OTHER & {gap.cause for gap in gaps}
    assert AuditLog(state / FILE_NAME).verify() is None
