"""The events of a watch: an announced file, or missed events.  And its interfaces.

Paths are absolute bytes as the kernel reports them; *root* is the configured name of a root.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NamedTuple, Protocol


class Lane(IntEnum):
    """The order of service."""

    UPLOAD = 0
    """The file has just been written."""
    RECONCILE = 1
    """A walk found that it differs from storage."""
    UNSETTLED = 2
    """It was read, and may change without an event: a process has it open for writing, or it has
    a name outside the roots.  It is looked at again and again until that ends."""


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

    def account_of(self, path: bytes) -> bytes:
        """Return the account of a path in this root, see :func:`account_directory`."""
        return account_directory(self.path, path)


def account_directory(root: bytes, path: bytes) -> bytes:
    """Return the first directory below *root* on the way to *path*; empty if there is none.

    On a hoster's server that is the directory of one customer.  Work is shared out between
    accounts, so that what one of them causes does not delay the others.
    """
    end = path.find(b"/", len(root.rstrip(b"/")) + 1)
    return path[:end] if end > 0 else b""


class WatchPosition(NamedTuple):
    """A place in the events of a watch that survives a restart of the daemon.

    *stream* identifies what has been watched without interruption, *number* counts what it has
    reported.
    """

    stream: str
    number: int


class Change(IntEnum):
    """What happened to an announced file."""

    NAMED = 0
    """It was created, linked or moved here; its writer may not have finished."""
    CLOSED = 1
    """A writer has closed it, so there is no need to wait."""
    WRITTEN = 2
    """It was written to by a process that has not closed it yet."""
    ATTRIBUTES = 3
    """Its mode, owner, times or extended attributes changed; its content was not written to."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """A file and its *change*; with *tree*, a directory that appeared with all below it.

    *account* is the directory of the customer, see :func:`account_directory`; *position* is where
    the watch reported it, if it numbers what it reports.
    """

    root: str
    path: bytes
    tree: bool = False
    change: Change = Change.NAMED
    account: bytes = b""
    position: WatchPosition | None = None

    @property
    def closed(self) -> bool:
        """True if a writer has closed the file."""
        return self.change is Change.CLOSED


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

    def reach(self, position: WatchPosition) -> None:
        """Record that everything up to *position* has been passed on."""


class Watch(Protocol):
    """Watches roots.  It reports what it cannot watch as missed, and raises only in ``start``."""

    def start(
        self, roots: Sequence[Root], listener: WatchListener, since: WatchPosition | None = None
    ) -> frozenset[str]:
        """Watch from now on: every later event is announced or reported as missed.

        Returns the roots that were watched without interruption *since* that position; everything
        after it is announced.  Another call with other roots leaves the roots that are already
        watched alone.
        """

    def acknowledge(self, position: WatchPosition) -> None:
        """Forget what was reported up to *position*: it is recorded."""

    def maintain(self) -> None:
        """Check the watches: roots that came back, ended, or were replaced.

        Called by the daemon every few seconds; cheap if nothing happened.
        """

    def renew(self, root: str) -> None:
        """Replace the watch of a root that did not announce its canary."""

    def lacks_watches(self, root: str) -> bool | None:
        """Return whether something in a root is not watched now, None if that is not known."""

    def close(self) -> None:
        """End all watches."""
