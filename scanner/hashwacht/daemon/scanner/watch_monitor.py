"""Monitoring the watch: canaries, heartbeats, and the end of gaps that last."""

from __future__ import annotations

import math
import os
import stat
import threading
import time
from collections.abc import Callable, Container, Sequence
from typing import Protocol

from hashwacht.core.watch_events import (
    Announcement,
    Cause,
    MissedEvents,
    Root,
    Watch,
    WatchListener,
    WatchPosition,
)
from hashwacht.daemon.scanner.roots import Roots
from hashwacht.platform.filesystems.mounts import is_remote
from hashwacht.platform.filesystems.responsiveness import examine_roots
from hashwacht.storage.gaps import Gap, RootHeartbeat
from hashwacht.storage.store import Store

MAX_SILENCE = 3 * 3600.0
"""Seconds without another report after which a gap is over that neither a canary nor the watch
itself can disprove (fanotify).  The watcher tries again at least every hour and reports failures.
"""

MAX_LAG = 3.0
"""Seconds that events may wait for the journal.  With a longer lag a canary may have been announced
but not yet recorded, so none counts as missed."""

MAX_UNCHECKED = 60.0
"""Seconds without a check after which the watches are not relied on: a network file system that
does not respond blocks the check."""

CLOSE_WAIT = 0.5
"""Seconds for a check in progress to end before the watch is closed."""


class Canaries(Protocol):
    """Writes a file into every root from time to time and recognizes its announcement."""

    def write_all(self) -> list[MissedEvents]:
        """Write the files; return a report for each root where that failed."""

    def is_canary(self, announcement: Announcement) -> bool:
        """Return whether an announcement is a canary, and note that it arrived."""

    def overdue(self) -> list[MissedEvents]:
        """Return a report for each canary that was written and not announced in time."""

    @property
    def unwritable(self) -> Container[str]:
        """The names of the roots that no canary can be written to."""


class WatchMonitor:
    """Runs the watch over all roots and proves that it works.  ``on_event`` is thread-safe."""

    def __init__(
        self,
        store: Store,
        listener: WatchListener,
        watch: Watch,
        make_canaries: Callable[[Sequence[Root]], Canaries],
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        remote: Callable[[bytes], bool] = is_remote,
    ) -> None:
        """Watch nothing yet.  *remote* returns whether a path is on a network file system."""
        self._store, self._listener = store, listener
        self._clock, self._monotonic, self._remote = clock, monotonic, remote
        self._watch, self._make_canaries = watch, make_canaries
        self._canaries: Canaries | None = None
        self._roots: Roots | None = None
        self._canary_due = -math.inf
        self._acknowledged: WatchPosition | None = None
        self._hanging: frozenset[bytes] = frozenset()
        self._checking, self._closed = threading.Lock(), False
        self._began = self._checked = monotonic()
        self._reported: dict[tuple[str, Cause], float] = {}
        self._canary_received: dict[str, float] = {}
        self.last_canary: dict[str, float] = {}
        self.last_event: dict[str, float] = {}

    def on_event(self, announcement: Announcement) -> bool:
        """Return whether an announcement is a canary."""
        now = self._clock()
        if self._canaries is not None and self._canaries.is_canary(announcement):
            self.last_canary[announcement.root] = now
            self._canary_received[announcement.root] = self._monotonic()
            return True
        self.last_event[announcement.root] = now
        return False

    def on_gap(self, missed: MissedEvents) -> None:
        """Note a report of missed events."""
        self._reported[missed.root, missed.cause] = self._monotonic()

    def begin(self, roots: Roots) -> None:
        """Watch these roots from now on; does nothing if they are watched already.

        Changes before now are a gap of every root that was not watched, unless the watch has
        continued without the scanner.  May be called again if it fails.
        """
        if self._roots is None or _paths(self._roots) != _paths(roots):
            # The gaps that a former watch has reported end here; the new one reports them again.
            gaps = [gap for gap in self._store.gaps.load_open() if gap.ended is None]
            lasting = [gap.id for gap in gaps if gap.cause is not Cause.UNLISTED]
            self._store.gaps.record_end(lasting, self._clock())
            watched = tuple(Root(root.name, root.path) for root in roots.all)
            self._hanging = examine_roots([root.path for root in watched])
            since = self._store.gaps.load_position()
            self._record_start(roots, self._watch.start(watched, self._listener, since))
            self._canaries, self._canary_due = self._make_canaries(watched), -math.inf
            self._began = self._checked = self._monotonic()
        self._roots = roots

    def _record_start(self, roots: Roots, uninterrupted: Container[str]) -> None:
        known = {} if self._roots is None else _paths(self._roots)
        now, heartbeats = self._clock(), self._store.gaps.load_heartbeats()
        with self._store.transaction():
            self._store.gaps.retire_roots([root.name for root in roots.all], now)
            for root in roots.all:
                if known.get(root.name) == root.path:
                    continue
                last, cause, began = heartbeats.get(root.name), Cause.STARTED, now
                if last is not None and last.path == root.path:
                    if root.name in uninterrupted:
                        continue
                    cause, began = Cause.DOWNTIME, min(last.at, now)
                self._store.gaps.record(MissedEvents(root.name, cause), began, now)
            self._record_heartbeats(roots, now)

    def acknowledge(self, position: WatchPosition | None) -> None:
        """Note that everything up to *position* is in the journal, or a gap."""
        if position is not None and position != self._acknowledged:
            self._acknowledged = position
            self._watch.acknowledge(position)

    def maintain(self, journaled_until: float, canary_interval: float) -> None:
        """Check the watch; called every few seconds.

        All events up to the Unix time *journaled_until* are in the journal.
        """
        with self._checking:
            if not self._closed:
                self._check(journaled_until, canary_interval)

    def _check(self, journaled_until: float, canary_interval: float) -> None:
        assert self._canaries is not None
        assert self._roots is not None
        self._examine_roots(self._roots)
        self._watch.maintain()
        if self._clock() - journaled_until <= MAX_LAG:
            for missed in self._canaries.overdue():
                self._listener.report_missed(missed)
                self._watch.renew(missed.root)
        if self._monotonic() >= self._canary_due:
            self._canary_due = self._monotonic() + canary_interval
            for missed in self._canaries.write_all():
                self._listener.report_missed(missed)
        over = [gap.id for gap in self._store.gaps.load_open() if self._is_over(gap)]
        if over:
            self._store.gaps.record_end(over, self._clock())
        self._record_heartbeats(self._roots, journaled_until)
        self._checked = self._monotonic()

    def _examine_roots(self, roots: Roots) -> None:
        """Report roots whose file system has stopped responding; nothing touches them then."""
        hanging = examine_roots([root.path for root in roots.all])
        for root in roots.all:
            if root.path in hanging - self._hanging:
                detail = "its file system does not respond"
                self._listener.report_missed(MissedEvents(root.name, Cause.UNMOUNTED, detail))
        self._hanging = hanging

    @property
    def problem(self) -> str:
        """The reason why no root can be relied on to be watched, if there is one."""
        unchecked = self._monotonic() - self._checked
        overdue = unchecked > MAX_UNCHECKED
        return f"the watch has not been checked for {unchecked:.0f} s" if overdue else ""

    def _is_over(self, gap: Gap) -> bool:
        """Return whether the cause of a gap has ended: root back, canary received, and so on."""
        roots = self._roots.all if self._roots else ()
        root = next((root for root in roots if root.name == gap.root), None)
        if gap.ended is not None or root is None:
            return False
        if gap.cause is Cause.UNMOUNTED:
            hanging = root.path in self._hanging
            return not hanging and directory_id(gap.path or root.path) is not None
        if gap.cause is Cause.REMOTE:
            return not self._remote(gap.path or root.path)
        reported = self._reported.get((gap.root, gap.cause), self._began)
        unwritable = self._canaries.unwritable if self._canaries else ()
        if gap.cause is Cause.DEAD_WATCH and gap.root not in unwritable:
            return self._canary_received.get(gap.root, -math.inf) > reported
        lasts = gap.cause in {Cause.DEAD_WATCH, Cause.WATCH_LIMIT}
        lacking = self._watch.lacks_watches(gap.root)
        silent = self._monotonic() - reported > MAX_SILENCE
        return lasts and (silent if lacking is None else not lacking)

    def _record_heartbeats(self, roots: Roots, at: float) -> None:
        """Record that all roots without a lasting gap were watched until then."""
        gaps = [gap for gap in self._store.gaps.load_open() if gap.ended is None]
        unwatched = {gap.root for gap in gaps if gap.cause not in {Cause.UNLISTED, Cause.REMOTE}}
        heartbeats = [
            RootHeartbeat(root.name, root.path, at, *identity)
            for root in roots.all
            if root.name not in unwatched
            and root.path not in self._hanging
            and (identity := directory_id(root.path))
        ]
        self._store.gaps.record_heartbeats(heartbeats)

    def close(self) -> None:
        """Close the watch.  Thread-safe.

        A check in progress gets a moment to end: it would take a closed watch for a dead one.
        """
        self._closed = True
        waited = self._checking.acquire(timeout=CLOSE_WAIT)
        self._watch.close()
        if waited:
            self._checking.release()


def _paths(roots: Roots) -> dict[str, bytes]:
    return {root.name: root.path for root in roots.all}


def directory_id(path: bytes) -> tuple[int, int] | None:
    """Return device and inode number of a directory, None if there is none."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None
