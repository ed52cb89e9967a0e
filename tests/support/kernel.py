"""What the kernel permits this process, and kernel settings that tests change temporarily."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CAP_SYS_ADMIN = 21


def may_use_fanotify() -> bool:
    """Return whether this process may watch whole file systems, which takes CAP_SYS_ADMIN."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> CAP_SYS_ADMIN & 1)
    return False


@contextmanager
def small_queue(kind: str, events: int = 64) -> Iterator[None]:
    """Limit the event queues created inside; *kind* is inotify or fanotify.

    Raises OSError where the limit may not be set.
    """
    setting = Path(f"/proc/sys/fs/{kind}/max_queued_events")
    before = setting.read_text()
    setting.write_text(str(events))
    try:
        yield
    finally:
        setting.write_text(before)
