"""The child processes of a test, for tests that kill and count them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil

from hashwacht.hashing.workers.protocol import WorkerKind
from hashwacht.hashing.workers.sandbox import process_name

PROGRAMS = Path(__file__).with_name("programs")
"""Programs that tests run as separate processes."""


def child_processes() -> list[psutil.Process]:
    """Return all descendants of this process, such as the fork server and its workers."""
    return psutil.Process().children(recursive=True)


def workers(
    worker_kind: WorkerKind = WorkerKind.PICTURE, scanner: psutil.Process | None = None
) -> list[psutil.Process]:
    """Return the workers of *worker_kind* in the only pool of *scanner* (this process)."""
    (fork_server,) = (scanner or psutil.Process()).children()
    return [
        process for process in fork_server.children() if process.name() == process_name(worker_kind)
    ]


def wait_for(happens: Callable[[], bool], seconds: float = 5) -> None:
    """Poll until a condition holds that other processes bring about."""
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.01)
