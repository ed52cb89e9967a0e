"""The daemon is killed at random moments during uploads and never gives a wrong answer.

``HASHWACHT_KILLS`` sets the number of kills; a full run has 200.
"""

from __future__ import annotations

import os
import random
import threading
from collections import Counter
from pathlib import Path

from hashwacht import Checker, CheckResult, Outcome
from hashwacht.core.upload_context import UploadContext
from hashwacht.uploads.remote import ANSWER_TIMEOUT, HEARTBEAT_TIMEOUT
from support.daemon.upload_daemon import UploadDaemon, known
from support.plugins.uploads import descriptors, opened

KILLS = int(os.environ.get("HASHWACHT_KILLS", "3"))
APPLICATIONS = 6
CONTEXT = UploadContext("2026-11-24T01:00:00+01:00", "192.0.2.1", 4711)
LONGEST = 2 * (HEARTBEAT_TIMEOUT + ANSWER_TIMEOUT)
"""Seconds: asked twice, and each time both limits used up."""


class Application(threading.Thread):
    """Submits uploads until stopped; every third is a listed one."""

    def __init__(self, checker: Checker, ended: threading.Event, spool: Path) -> None:
        super().__init__(daemon=True)
        self.checker, self.ended, self.spool = checker, ended, spool
        self.picture = known()
        self.known: list[CheckResult] = []
        self.others: list[CheckResult] = []

    def run(self) -> None:
        number = 0
        while not self.ended.wait(0.01):
            number += 1
            is_known = number % 3 == 0
            content = self.picture if is_known else b"%d %d" % (self.ident or 0, number)
            with self.checker.open_upload(self.spool) as incoming:
                incoming.write(content)
                checked = incoming.finish(CONTEXT).result(LONGEST)
            (self.known if is_known else self.others).append(checked)


def test_kills_cause_no_false_no_match_no_hang_and_no_leak(tmp_path: Path) -> None:
    program = UploadDaemon(tmp_path / "home")
    chance = random.Random(20261124)
    ended, spool = threading.Event(), tmp_path / "spool"
    spool.mkdir()
    with Checker.configured(program.configuration) as checker:
        with program.scanner():
            checker.scan_stream([known()])  # its threads have started
        before = descriptors()
        applications = [Application(checker, ended, spool) for _ in range(APPLICATIONS)]
        for application in applications:
            application.start()
        for _ in range(KILLS):
            with program.scanner() as process:
                ended.wait(chance.uniform(0.02, 1.0))
                process.kill()
        with program.scanner() as process:
            count = sum(len(application.known) for application in applications)
            program.wait_for(
                lambda: sum(len(application.known) for application in applications) > count + 5,
                "served again",
            )
            program.wait_for(lambda: _handed(process.pid, spool), "something handed over")
            ended.set()
            for application in applications:
                application.join(LONGEST)
                assert not application.is_alive(), "an application hangs"
            assert descriptors() == before
            program.wait_for(lambda: not _handed(process.pid, spool), "every upload closed")
            assert not any(spool.iterdir())
            result = checker.scan_stream([known()], CONTEXT)
    outcomes = Counter(
        result.outcome for application in applications for result in application.known
    )
    assert set(outcomes) <= {Outcome.MATCH, Outcome.UNDETERMINED}
    assert outcomes[Outcome.MATCH] > 0
    other_outcomes = {
        result.outcome for application in applications for result in application.others
    }
    assert other_outcomes <= {Outcome.NO_MATCH, Outcome.UNDETERMINED}
    assert result.outcome is Outcome.MATCH
    assert program.upload_contexts(result.key)


def _handed(process: int, spool: Path) -> bool:
    """Return whether a process holds uploads open, which are unlinked files."""
    return any(path.startswith(str(spool)) for path in opened(process))
