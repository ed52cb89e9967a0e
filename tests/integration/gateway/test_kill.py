"""Scanner and gateway are killed at random moments, and no client takes a listed picture for OK.

A client sees a reply, a refused connection, or the end of one: a killed process cannot send more.
``HASHWACHT_KILLS`` sets the number of kills, of the gateway and the scanner in turn; a full run has
200.
"""

from __future__ import annotations

import os
import random
import re
import signal
import threading
from collections import Counter
from functools import partial
from pathlib import Path

from support.daemon.upload_daemon import known
from support.gateway.gateway_daemon import PATIENCE, GatewayDaemon
from support.processes import wait_for
from support.program import PROGRAM

KILLS = int(os.environ.get("HASHWACHT_KILLS", "1"))
CLIENTS = 3
STARTED = re.compile(r"(scanner|gateway) started \(pid (\d+)\)")
FOUND, NOT_DETERMINED = "found", b"Not determined. ERROR\0"


class ClamdClient(threading.Thread):
    """Sends contents until stopped; every second one is listed."""

    def __init__(self, daemon: GatewayDaemon, ended: threading.Event) -> None:
        super().__init__(daemon=True)
        self.daemon_program, self.ended, self.picture = daemon, ended, known()
        self.listed: Counter[str] = Counter()
        self.others: Counter[str] = Counter()

    def run(self) -> None:
        number = 0
        while not self.ended.wait(0.02):
            number += 1
            if number % 2:
                self.listed[self._outcome(self.picture)] += 1
            else:
                self.others[self._outcome(b"%d %d" % (self.ident or 0, number))] += 1

    def _outcome(self, content: bytes) -> str:
        try:
            reply = self.daemon_program.instream(content)
        except TimeoutError:
            return "hangs"
        except OSError:
            return "refused"
        if reply == NOT_DETERMINED:
            return "error"
        if not reply:
            return "closed"
        return {b"stream: OK\0": "ok"}.get(reply, FOUND if reply.endswith(b" FOUND\0") else "odd")


def processes(log: Path) -> dict[str, int]:
    """Return the latest process of each name that the supervisor has started."""
    return {name: int(pid) for name, pid in STARTED.findall(log.read_text())}


def restarted(log: Path, name: str, former: int) -> bool:
    """Return whether a process has a successor."""
    return processes(log)[name] != former


def test_no_kill_makes_a_listed_picture_acceptable(tmp_path: Path) -> None:
    daemon = GatewayDaemon(tmp_path / "home")
    chance, ended = random.Random(20261201), threading.Event()
    with daemon.running(PROGRAM, "daemon"):
        wait_for(daemon.clamd.exists, PATIENCE)
        clients = [ClamdClient(daemon, ended) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        for number in range(KILLS):
            name = ("gateway", "scanner")[number % 2]
            pid = processes(daemon.log)[name]
            ended.wait(chance.uniform(0.05, 1.0))
            os.kill(pid, signal.SIGKILL)
            wait_for(partial(restarted, daemon.log, name, pid), PATIENCE)

        def found() -> int:
            return sum(client.listed[FOUND] for client in clients)

        wait_for(daemon.clamd.exists, PATIENCE)
        before = found()
        wait_for(lambda: found() > before, 2 * PATIENCE)
        ended.set()
        for client in clients:
            client.join(2 * PATIENCE)
            assert not client.is_alive(), "a client hangs"
    for client in clients:
        assert set(client.listed) <= {FOUND, "error", "closed", "refused"}, client.listed
        assert set(client.others) <= {"ok", "error", "closed", "refused"}, client.others
