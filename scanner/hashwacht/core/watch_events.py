"""The events of a watch: an announced file, or missed events.  And its interfaces.

Paths are absolute bytes as the kernel reports them; *root* is the configured name of a root.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Protocol


class Lane(IntEnum):
    """The order of service."""

    UPLOAD = 0
    """The file has just been written."""
    RECONCILE = 1
    """A walk found that it differs from storage."""


class Cause(StrEnum):
    """Why events may have been missed."""

    STARTED = "started"
    """The root was never watched before."""
    DOWNTIME = "downtime"
    """The daemon was not running."""
    OVERFLOW = "overflow"
    """The kernel's event queue was full."""
    QUEUE_FULL = "queue-full"
    """The daemon's queue was full."""
    WATCH_LIMIT = "watch-limit"
    """The kernel's limit of watches was reached (fs.inotify.max_user_watches)."""
    DEAD_WATCH = "dead-watch"
    """The canary was not announced, or the watch ended."""
    UNMOUNTED = "unmounted"
    """The root was missing, or on another file system."""
    REPLACED = "replaced"
    """The root was deleted or renamed; another directory has its name."""
    REMOTE = "remote"
    """A network file system: what other machines write is never announced."""
    UNLISTED = "unlisted"
    """A walk could not list part of the root."""
    PERIODIC = "periodic"
    """No known miss: a periodic comparison."""


@dataclass(frozen=True, slots=True)
class Root:
    """A directory to watch; *path* is absolute."""

    name: str
    path: bytes


@dataclass(frozen=True, slots=True)
class Announcement:
    """A file that was created, moved in or written to; with *tree*, a directory and all below.

    *closed*: its writer has closed it, so there is no need to wait.
    """

    root: str
    path: bytes
    tree: bool = False
    closed: bool = False


@dataclass(frozen=True, slots=True)
class MissedEvents:
    """Events may have been missed in *root*, at *path* and below (empty: everywhere), until now.

    A lasting cause is reported again from time to time, and once more when it ends; only REMOTE is
    reported once, and lasts as long as the mount.
    """

    root: str
    cause: Cause
    detail: str = ""
    path: bytes = b""


class WatchListener(Protocol):
    """Receives events from the thread that reads them, so it must not block."""

    def announce(self, announcement: Announcement) -> None:
        """Record a file."""

    def report_missed(self, missed: MissedEvents) -> None:
        """Record a gap."""


class Watch(Protocol):
    """Watches roots.  It reports what it cannot watch as missed, and raises only in ``start``."""

    def start(self, roots: Sequence[Root], listener: WatchListener) -> None:
        """Watch from now on: every later event is announced or reported as missed.

        Another call with other roots leaves the roots that are already watched alone.
        """

    def maintain(self) -> None:
        """Check the watches: roots that came back, ended, or were replaced.

        Called by the daemon every few seconds; cheap if nothing happened.
        """

    def renew(self, root: str) -> None:
        """Replace the watch of a root that did not announce its canary."""

    def close(self) -> None:
        """End all watches."""
