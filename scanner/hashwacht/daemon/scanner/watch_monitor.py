"""Looking after the watch: canaries, heartbeats, and gaps that are over."""

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
)
from hashwacht.daemon.scanner.roots import Roots
from hashwacht.platform.mounts import is_remote
from hashwacht.storage.gaps import Gap, RootHeartbeat
from hashwacht.storage.store import Store

SILENCE = 3 * 3600.0
"""Seconds without another word of it after which what no canary can disprove is over.

That is a lack of watches, and a dead watch of a root that takes no canary.  The watch tries again
at least every hour, and says so if it fails.
"""

BEHIND = 2.0
"""Seconds that announcements may wait for the journal; longer, and a canary may have been announced
that nobody has heard yet, so none is missed."""

UNATTENDED = 60.0
"""Seconds without a look after the watches beyond which they are not relied on: a network file
system that does not answer keeps whoever looks at it waiting."""


MOMENT = 0.5
"""Seconds for a look after the watches to end when they are closed."""


class Canaries(Protocol):
    """Writes a file into every root from time to time, and knows it when it is announced."""

    def write_all(self) -> list[MissedEvents]:
        """Write them; say where that was not possible."""

    def is_canary(self, announcement: Announcement) -> bool:
        """Say if this is one of them, and take note that it was announced."""

    def overdue(self) -> list[MissedEvents]:
        """Say which were written and not announced in time."""

    @property
    def unwritable(self) -> Container[str]:
        """Name the roots that none can be written into."""


class WatchMonitor:
    """The watch over all roots and the proof that it works.  ``hear`` is thread-safe."""

    def __init__(
        self,
        store: Store,
        listener: WatchListener,
        watch: Watch,
        make_canaries: Callable[[Sequence[Root]], Canaries],
        *,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
        remote: Callable[[bytes], bool] = is_remote,
    ) -> None:
        """Watch nothing yet.  *steady* gives seconds from anywhere, and is never set.

        *remote* says if a path lies on a network file system.
        """
        self._store, self._listener = store, listener
        self._clock, self._steady, self._remote = clock, steady, remote
        self._watch, self._make_canaries = watch, make_canaries
        self._canaries: Canaries | None = None
        self._roots: Roots | None = None
        self._canary_due = -math.inf
        self._looking, self._closed = threading.Lock(), False
        self._began = self._tended = steady()
        self._said: dict[tuple[str, Cause], float] = {}
        self._sung: dict[str, float] = {}
        self.last_canary: dict[str, float] = {}
        self.last_event: dict[str, float] = {}

    def on_event(self, announcement: Announcement) -> bool:
        """Say if an announcement is but a canary."""
        now = self._clock()
        if self._canaries is not None and self._canaries.is_canary(announcement):
            self.last_canary[announcement.root] = now
            self._sung[announcement.root] = self._steady()
            return True
        self.last_event[announcement.root] = now
        return False

    def on_gap(self, missed: MissedEvents) -> None:
        """Take note of what the watch could not do."""
        self._said[missed.root, missed.cause] = self._steady()

    def begin(self, roots: Roots) -> None:
        """Watch these from now on; if they are watched already, nothing changes.

        What was written before is a gap of every root that was not watched already.  May be called
        again if it fails.
        """
        if self._roots is None or _places(self._roots) != _places(roots):
            self._end_lasting()
            watched = tuple(root.watch_root for root in roots.all)
            self._watch.start(watched, self._listener)
            self._note(roots)
            self._canaries, self._canary_due = self._make_canaries(watched), -math.inf
            self._began = self._tended = self._steady()
        self._roots = roots

    def _note(self, roots: Roots) -> None:
        """Write down which roots are watched now, and what was missed of them before."""
        known = {} if self._roots is None else _places(self._roots)
        now, last = self._clock(), self._store.gaps.load_heartbeats()
        with self._store.transaction():
            self._store.gaps.retire_roots([root.name for root in roots.all], now)
            for root in roots.all:
                if known.get(root.name) != root.path:
                    self._open_first(root.watch_root, last.get(root.name), now)
            self._beat(roots, now)

    def _open_first(self, root: Root, last: RootHeartbeat | None, now: float) -> None:
        if last is None or last.path != root.path:
            self._store.gaps.record(MissedEvents(root.name, Cause.STARTED), now, now)
        else:
            self._store.gaps.record(MissedEvents(root.name, Cause.DOWNTIME), min(last.at, now), now)

    def maintain(self, healthy: float, every: float) -> None:
        """Look after it; called every few seconds.

        *healthy* is until when (Unix time) all that was announced is in the journal, *every* how
        many seconds lie between two canaries.
        """
        with self._looking:
            if not self._closed:
                self._look_after(healthy, every)

    def _look_after(self, healthy: float, every: float) -> None:
        assert self._canaries is not None
        assert self._roots is not None
        self._watch.maintain()
        if self._clock() - healthy <= BEHIND:
            for missed in self._canaries.overdue():
                self._listener.report_missed(missed)
                self._watch.renew(missed.root)
        if self._steady() >= self._canary_due:
            self._canary_due = self._steady() + every
            for missed in self._canaries.write_all():
                self._listener.report_missed(missed)
        over = [gap.id for gap in self._store.gaps.load_open() if self._is_over(gap)]
        if over:
            self._store.gaps.record_end(over, self._clock())
        self._beat(self._roots, healthy)
        self._tended = self._steady()

    @property
    def problem(self) -> str:
        """Why no root can be relied on to be watched, if so."""
        silent = self._steady() - self._tended
        return f"nobody looked after it for {silent:.0f} s" if silent > UNATTENDED else ""

    def _is_over(self, gap: Gap) -> bool:
        """Say if what lasted is over: the root is there again, its canary sings, or the like."""
        root = self._roots.get(gap.root) if self._roots else None
        if gap.ended is not None or root is None:
            return False
        if gap.cause is Cause.UNMOUNTED:
            return _is_there(gap.path or root.path)
        if gap.cause is Cause.REMOTE:
            return not self._remote(gap.path or root.path)
        said = self._said.get((gap.root, gap.cause), self._began)
        if gap.cause is Cause.DEAD_WATCH and not self._is_unproven(gap.root):
            return self._sung.get(gap.root, -math.inf) > said
        lasts = gap.cause in {Cause.DEAD_WATCH, Cause.WATCH_LIMIT}
        return lasts and self._steady() - said > SILENCE

    def _is_unproven(self, root: str) -> bool:
        return self._canaries is not None and root in self._canaries.unwritable

    def _end_lasting(self) -> None:
        """Take back what a watch of before said; the new one will say it again if it is so."""
        lasting = [
            gap.id
            for gap in self._store.gaps.load_open()
            if gap.ended is None and gap.cause is not Cause.UNLISTED
        ]
        self._store.gaps.record_end(lasting, self._clock())

    def _beat(self, roots: Roots, at: float) -> None:
        """Note until when which roots were watched: all that miss nothing just now."""
        blind = {
            gap.root
            for gap in self._store.gaps.load_open()
            if gap.ended is None and gap.cause not in {Cause.UNLISTED, Cause.REMOTE}
        }
        self._store.gaps.record_heartbeats(
            [
                RootHeartbeat(root.name, root.path, at, *found)
                for root in roots.all
                if root.name not in blind and (found := directory_id(root.path))
            ]
        )

    def close(self) -> None:
        """Watch no more.  From any thread.

        A look under way gets a moment to end: it would take what is closed for what has died.
        """
        self._closed = True
        waited = self._looking.acquire(timeout=MOMENT)
        self._watch.close()
        if waited:
            self._looking.release()


def _places(roots: Roots) -> dict[str, bytes]:
    return {root.name: root.path for root in roots.all}


def _is_there(path: bytes) -> bool:
    return directory_id(path) is not None


def directory_id(path: bytes) -> tuple[int, int] | None:
    """Give device and inode number of a directory; None if there is none."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISDIR(found.st_mode) else None
