"""Looking at the processes below this one, for tests that kill and count them."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil

from hashwacht.hashing.workers.protocol import WorkerKind
from hashwacht.hashing.workers.sandbox import process_name


def family() -> list[psutil.Process]:
    """Give everything below this process, such as the nursery and its workers."""
    return psutil.Process().children(recursive=True)


def workers(
    worker_kind: WorkerKind = WorkerKind.PICTURE, scanner: psutil.Process | None = None
) -> list[psutil.Process]:
    """Give the workers for *attempt* of the one pool that *scanner* (this process) has open."""
    (fork_server,) = (scanner or psutil.Process()).children()
    return [each for each in fork_server.children() if each.name() == process_name(worker_kind)]


def wait_for(happens: Callable[[], bool], seconds: float = 5) -> None:
    """Wait for something that other processes do, of which nobody tells us."""
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.01)
