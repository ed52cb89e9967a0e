"""Looking at the processes below this one, for tests that kill and count them."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil

from hashwacht.hashing.workers.protocol import Attempt
from hashwacht.hashing.workers.sandbox import name_of


def family() -> list[psutil.Process]:
    """Give everything below this process, such as the nursery and its workers."""
    return psutil.Process().children(recursive=True)


def workers(
    attempt: Attempt = Attempt.PICTURE, scanner: psutil.Process | None = None
) -> list[psutil.Process]:
    """Give the workers for *attempt* of the one pool that *scanner* (this process) has open."""
    (nursery,) = (scanner or psutil.Process()).children()
    return [each for each in nursery.children() if each.name() == name_of(attempt)]


def wait_for(happens: Callable[[], bool], seconds: float = 5) -> None:
    """Wait for something that other processes do, of which nobody tells us."""
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.01)
