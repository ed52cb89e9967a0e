"""What watching says: this file came in, here something may have been missed.  And to whom.

Paths are absolute bytes as the kernel spells them; *root* is the configured name of a root.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Protocol


class Lane(IntEnum):
    """Who is served first."""

    UPLOAD = 0
    """Somebody has just put it there."""
    RECONCILE = 1
    """A walk found that the state does not know it as it is."""


class Cause(StrEnum):
    """Why events may have been missed."""

    STARTED = "started"
    """Nobody had ever watched this root before."""
    DOWNTIME = "downtime"
    """The daemon was not running."""
    OVERFLOW = "overflow"
    """The kernel's event queue was full."""
    QUEUE_FULL = "queue-full"
    """Our own queue was full."""
    WATCH_LIMIT = "watch-limit"
    """The kernel would not give more watches (fs.inotify.max_user_watches)."""
    DEAD_WATCH = "dead-watch"
    """The canary was not announced, or the watch ended by itself."""
    UNMOUNTED = "unmounted"
    """The root was not there, or another file system was."""
    REPLACED = "replaced"
    """The root was deleted or renamed; another directory has its name."""
    REMOTE = "remote"
    """A network file system: what other machines write is never announced."""
    UNLISTED = "unlisted"
    """A walk could not list part of the root."""
    PERIODIC = "periodic"
    """Nothing is known to be missed; it is compared from time to time all the same."""


@dataclass(frozen=True, slots=True)
class Root:
    """A directory to watch; *path* is absolute."""

    name: str
    path: bytes


@dataclass(frozen=True, slots=True)
class Announcement:
    """A file that came in or was written to; with *tree*, a directory with all that is below.

    *closed*: its writer has closed it, so it need not be waited for.
    """

    root: str
    path: bytes
    tree: bool = False
    closed: bool = False


@dataclass(frozen=True, slots=True)
class MissedEvents:
    """Something may have been missed in *root*, at *path* and below (empty: everywhere).

    It speaks of the time until now.  What lasts is said again from time to time, and once more
    when it is over; only REMOTE is said once, and lasts as long as that is mounted there.
    """

    root: str
    cause: Cause
    detail: str = ""
    path: bytes = b""


class WatchListener(Protocol):
    """Who is told.  Called by the thread that reads events, so it never waits."""

    def announce(self, announcement: Announcement) -> None:
        """Take note of a file."""

    def report_missed(self, missed: MissedEvents) -> None:
        """Take note of a gap."""


class Watch(Protocol):
    """Watches roots.  What it cannot watch it says by ``missed``; it raises only at its start."""

    def start(self, roots: Sequence[Root], listener: WatchListener) -> None:
        """Watch from now on: what happens after this returned is announced or missed.

        Called again with other roots, those that are watched already go on being watched.
        """

    def maintain(self) -> None:
        """Look after the watches: roots that came back, died, or were replaced.

        Called every few seconds by the daemon's own thread; cheap if nothing happened.
        """

    def renew(self, root: str) -> None:
        """Watch a root anew, because it did not announce its canary."""

    def close(self) -> None:
        """Watch no more."""
