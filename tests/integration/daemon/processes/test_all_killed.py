"""Every process of the daemon is killed at random moments, with an outage between: nothing is lost.

``HASHWACHT_KILLS`` sets the number of kills; a full run has 200.  The supervisor's restart delays
are short here: after 200 kills it would otherwise wait half a minute before each start.
"""

from __future__ import annotations

import hashlib
import logging
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest

from hashwacht.audit.log import FILE_NAME, AuditLog
from hashwacht.core.types import Outcome
from hashwacht.storage.store import Store
from support.daemon.daemon_harness import unjudged_files
from support.kernel import may_use_fanotify
from support.processes import PROGRAMS, wait_for
from support.program import Program
from support.services.http_server import HttpServer
from support.services.services import Hma

DAEMON = PROGRAMS / "daemon_without_backoff.py"
KILLS = int(os.environ.get("HASHWACHT_KILLS", "9"))
KNOWN = [b"known %d" % number for number in range(5)]
PARTS = ("scanner", "courier", "watcher")

log = logging.getLogger(__name__)

pytestmark = pytest.mark.skipif(not may_use_fanotify(), reason="fanotify needs CAP_SYS_ADMIN")


class Uploader(threading.Thread):
    """Writes files until stopped; every twentieth is a listed one."""

    def __init__(self, root: Path) -> None:
        super().__init__(daemon=True)
        self.root, self.ended = root, threading.Event()
        self.files = 0
        self.known: set[bytes] = set()

    def run(self) -> None:
        chance = random.Random(7)
        while not self.ended.wait(chance.choice((0.0, 0.002, 0.02))):
            self.files += 1
            folder = self.root / f"{self.files // 200}"
            folder.mkdir(exist_ok=True)
            path = folder / f"{self.files}"
            listed = self.files % 20 == 0
            path.write_bytes(chance.choice(KNOWN) if listed else b"%d" % self.files)
            if listed:
                self.known.add(bytes(path))


def part(supervisor: int, name: str) -> psutil.Process | None:
    """Return the child process with this name."""
    for process in psutil.Process(supervisor).children():
        try:
            if name in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                return process
        except psutil.NoSuchProcess:
            continue
    return None


def kill(supervisor: int, name: str, after: float) -> None:
    """Kill a process some time after its start."""
    wait_for(lambda: part(supervisor, name) is not None, 60)
    threading.Event().wait(after)
    process = part(supervisor, name)
    assert process is not None, "the process ended before it was killed"
    process.kill()
    process.wait(60)


@contextmanager
def daemon(program: Program) -> Iterator[int]:
    """Run all processes; yield the pid of their supervisor."""
    with (program.home / "daemon.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, DAEMON], env=program.environment, stdout=log, stderr=log
        )
        try:
            yield process.pid
        finally:
            process.terminate()
            process.wait(60)


def in_the_end(state: Path, root: Path, known: set[bytes]) -> None:
    """Wait until all work is done and no gap is open; every listed file belongs to its case."""
    with closing(Store.open(state)) as store:
        wait_for(lambda: not unjudged_files(store, root), 60 + KILLS)
        wait_for(lambda: not store.pending.count(), 60 + KILLS)
        wait_for(lambda: not store.gaps.load_open(), 60 + KILLS)
        for path in known:
            (place,) = store.locations.load_live(path)
            case = store.cases.load_by_key(place.key)
            assert case is not None
            assert case.evidence.outcome is Outcome.MATCH


def test_whatever_is_killed_whenever_no_file_stays_unjudged(
    program: Program, tmp_path: Path
) -> None:
    root = tmp_path / "storage"
    root.mkdir()
    bank = {f"md5:{hashlib.md5(content).hexdigest()}": 1 for content in KNOWN}
    service = Hma({"BANK": bank})
    uploader, chance = Uploader(root), random.Random(20261123)
    with HttpServer(service) as server:
        program.add_matcher("hma", server.url, 'signal_types = { md5 = "md5" }')
        with program.configuration.open("a") as file:
            file.write(f'[daemon]\nwatch_method = "fanotify"\n[roots.web]\npath = "{root}"\n')
        with daemon(program) as supervisor:
            uploader.start()
            for number in range(KILLS):
                service.ready = not KILLS // 3 <= number < 2 * KILLS // 3  # otherwise an outage
                kill(supervisor, PARTS[number % 3], chance.uniform(0.05, 1.5))
            service.ready = True
            uploader.ended.set()
            uploader.join()
            in_the_end(program.home / "state", root, uploader.known)
    log.info("%d kills, %d files, %d of them known", KILLS, uploader.files, len(uploader.known))
    assert uploader.files > 10 * KILLS
    assert AuditLog(program.home / "state" / FILE_NAME).verify() is None
