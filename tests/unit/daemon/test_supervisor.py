"""Restarts of a process that exits: soon at first, with growing delays if it keeps failing."""

from __future__ import annotations

import os
import select
import time

from hashwacht.core.errors import ExitCode
from hashwacht.daemon.supervisor import Child, ChildSpec, RestartBackoff

BROKEN = ChildSpec("courier", ("daemon", "nonsense"))


def run_once(child: Child) -> tuple[int, float]:
    """Start the process, wait for its exit, and return exit code and restart delay."""
    child.start()
    assert child.fd is not None
    assert child.due is None
    poll = select.poll()
    poll.register(child.fd, select.POLLIN)
    assert poll.poll(20_000)
    return child.reap()


def test_restart_delays_grow_to_the_longest() -> None:
    child = Child(BROKEN, os.environ, RestartBackoff(first=0.5, longest=2.0, settled=60.0))
    exits = [run_once(child) for _ in range(3)]
    began = time.monotonic()
    exits.append(run_once(child))
    assert [delay for _, delay in exits] == [0.5, 1.0, 2.0, 2.0]
    assert {code for code, _ in exits} == {ExitCode.ERROR}
    assert child.due is not None
    assert began + 2.0 <= child.due <= time.monotonic() + 2.0


def test_a_healthy_run_resets_the_restart_delay() -> None:
    child = Child(BROKEN, os.environ, RestartBackoff(first=0.5, longest=2.0, settled=0.0))
    assert [run_once(child)[1] for _ in range(2)] == [0.5, 0.5]


def test_a_reload_starts_a_waiting_process_at_once() -> None:
    child = Child(BROKEN, os.environ, RestartBackoff(first=30.0, longest=30.0, settled=60.0))
    assert run_once(child)[1] == 30.0
    child.reload()
    assert child.due is not None
    assert child.due <= time.monotonic()
    assert run_once(child)[1] == 30.0, "it exited on its own, not for the reload"
