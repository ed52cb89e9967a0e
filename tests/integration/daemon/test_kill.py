"""The scanner is killed at random moments: no file stays unjudged, no case lists a file twice.

``HASHWACHT_KILLS`` sets the number of kills; a full run has 200.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

from hashwacht.audit.log import FILE_NAME, AuditLog
from support.daemon.daemon_harness import unjudged_files
from support.daemon.daemon_program import DaemonProgram
from support.processes import PROGRAMS

PROGRAM = PROGRAMS / "run_and_kill_scanner.py"
KILLS = int(os.environ.get("HASHWACHT_KILLS", "10"))
KNOWN = [b"known %d" % number for number in range(5)]


class Uploader(threading.Thread):
    """Adds files in every possible way until stopped."""

    def __init__(self, root: Path) -> None:
        super().__init__(daemon=True)
        self.root, self.ended = root, threading.Event()
        self.known: set[bytes] = set()
        self.files = 0

    def run(self) -> None:
        chance = random.Random(7)
        while not self.ended.wait(chance.choice((0.0, 0.001, 0.02))):
            self.files += 1
            folder = self.root / f"{chance.randrange(20)}" / f"{self.files // 100}"
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{self.files}"
            listed = chance.random() < 0.05
            content = chance.choice(KNOWN) if listed else b"%d" % self.files
            if chance.random() < 0.5:
                path.write_bytes(content)
            else:
                (folder / f".{self.files}.part").write_bytes(content)
                (folder / f".{self.files}.part").rename(path)
            if listed:
                self.known.add(bytes(path))
            if chance.random() < 0.02:
                elsewhere = self.root / f"moved {self.files}"
                folder.rename(elsewhere)
                prefix = bytes(folder) + b"/"
                self.known = {
                    bytes(elsewhere) + b"/" + content.removeprefix(prefix)
                    if content.startswith(prefix)
                    else content
                    for content in self.known
                }


def test_a_scanner_killed_at_random_instants_misses_no_file(tmp_path: Path) -> None:
    root = tmp_path / "storage"
    root.mkdir()
    program = DaemonProgram(tmp_path)
    program.know(*KNOWN)
    program.watch("uploads", root)
    chance = random.Random(20261123)
    uploader = Uploader(root)
    with subprocess.Popen(
        [sys.executable, PROGRAM, program.configuration],
        env=program.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as killer:
        assert killer.stdin is not None
        assert killer.stdout is not None
        uploader.start()
        for _ in range(KILLS):
            killer.stdin.write(b"%f\n" % chance.uniform(0.02, 1.2))
            killer.stdin.flush()
            answer = killer.stdout.readline()
            if answer != b"killed\n":
                uploader.ended.set()
            assert answer == b"killed\n"
        killer.stdin.close()
    with program.scanner(), closing(program.state()) as store:
        uploader.ended.set()
        uploader.join()
        program.wait_for(lambda: not unjudged_files(store, root), "all asked", 30 + KILLS)
        program.wait_for(lambda: not store.gaps.load_open(), "all gaps closed")
        program.wait_for(lambda: not any(store.journal.count().values()), "all settled")
        for path in uploader.known:
            (place,) = store.locations.load_live(path)
            assert place.root == "uploads"
    assert uploader.files > 20 * KILLS
    assert len(uploader.known) > KILLS / 2
    assert AuditLog(tmp_path / "state" / FILE_NAME).verify() is None
