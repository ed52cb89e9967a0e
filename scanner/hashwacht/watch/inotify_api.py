"""The adapter to watchdog's inotify binding, below watchdog's documented observers.

The observers keep events in queues without a bound, hold everything back for half a second after a
rename, pass over directories that cannot be watched, and miss new directories after an overflow.
The binding does none of this, but it is not a public API: pyproject.toml pins the minor version.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    Mask,
    WatchCallback,
    WatchDescriptor,
)

from hashwacht.core.watch_events import Change

__all__ = ["InotifyEvent", "InotifyInstance", "WatchCallback", "WatchDescriptor"]

IS_DIRECTORY = int(InotifyConstants.IN_ISDIR)
MOVED_FROM = int(InotifyConstants.IN_MOVED_FROM)
MOVED_TO = int(InotifyConstants.IN_MOVED_TO)
CLOSE_WRITE = int(InotifyConstants.IN_CLOSE_WRITE)
MODIFY = int(InotifyConstants.IN_MODIFY)
ATTRIBUTES = int(InotifyConstants.IN_ATTRIB)
MOVE_SELF = int(InotifyConstants.IN_MOVE_SELF)

DIRECTORY_EVENTS = int(
    InotifyConstants.IN_CREATE
    | InotifyConstants.IN_CLOSE_WRITE
    | InotifyConstants.IN_MODIFY
    | InotifyConstants.IN_ATTRIB
    | InotifyConstants.IN_MOVED_FROM
    | InotifyConstants.IN_MOVED_TO
    | InotifyConstants.IN_MASK_ADD
    | InotifyConstants.IN_EXCL_UNLINK
)
"""Reading causes no events: with watchdog's own mask, walking 100,000 directories overflows the
queue, and the walk that covers the overflow overflows it again."""


class InotifyInstance:
    """One inotify instance; watchdog's thread reads it and calls *callback*."""

    def __init__(self, callback: WatchCallback) -> None:
        """Start the thread.  Raises OSError."""
        self._callback = callback
        self._inotify = InotifyFD()
        self._inotify.start()

    @property
    def alive(self) -> bool:
        """False if events are not read any more."""
        return self._inotify.is_alive()

    def add_watch(self, fd: int, events: int, key: int) -> int:
        """Watch an open directory; return the watch descriptor.  Raises OSError."""
        path = b"/proc/self/fd/%d" % fd
        wd = self._inotify.add_callback(path, Mask(events), self._callback, CallbackId(key))
        if wd < 0:  # watchdog's return value for EACCES
            self.remove_watches([(wd, key)])
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return wd

    def remove_watches(self, watches: Iterable[tuple[int, int]]) -> None:
        """Remove watches, each a watch descriptor and its key."""
        self._inotify.remove_callbacks(
            [(WatchDescriptor(wd), CallbackId(key)) for wd, key in watches]
        )

    def close(self) -> None:
        """Stop the thread and remove all watches.  Idempotent."""
        self._inotify.stop()
        self._inotify.join()


def change_of(mask: int) -> Change:
    """Return what an event of that mask means for a file."""
    if mask & CLOSE_WRITE:
        return Change.CLOSED
    if mask & MODIFY:
        return Change.WRITTEN
    return Change.ATTRIBUTES if mask & ATTRIBUTES else Change.NAMED
