"""Looking at the processes below this one, for tests that kill and count them."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil


def family() -> list[psutil.Process]:
    """Give the nursery, its workers and what they have started."""
    return psutil.Process().children(recursive=True)


def workers() -> list[psutil.Process]:
    """Give the workers of the one pool that is open."""
    (nursery,) = psutil.Process().children()
    return nursery.children()


def wait_for(happens: Callable[[], bool], seconds: float = 5) -> None:
    """Wait for something that other processes do, of which nobody tells us."""
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.01)
