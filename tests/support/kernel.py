"""Settings of the kernel that tests change for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def small_queue(kind: str, events: int = 64) -> Iterator[None]:
    """Let queues that are made meanwhile hold few events; *kind* is inotify or fanotify.

    Raises OSError where that may not be set.
    """
    setting = Path(f"/proc/sys/fs/{kind}/max_queued_events")
    before = setting.read_text()
    setting.write_text(str(events))
    try:
        yield
    finally:
        setting.write_text(before)
