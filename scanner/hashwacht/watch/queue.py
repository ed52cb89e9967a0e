"""The bounded queue between the watch and the journaler."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from hashwacht.core.watch_events import (
    Announcement,
    Cause,
    Change,
    MissedEvents,
    WatchPosition,
)

MAX_GAPS = 1024
"""Gaps held at a time; beyond that, a gap of a part of a root becomes one of the whole root."""

MEAN_SIZE = 512
"""Bytes of memory for each announcement that fits, names included."""

OVERHEAD = 300
"""Bytes of an announcement without its path."""

WRITE_DELAY = 1.0
"""Seconds that writes to an open file wait for further ones, and for the file to be closed."""

REPEAT_PERIOD = WRITE_DELAY / 2
"""Seconds in which further writes to a file are not announced."""

_Account = tuple[str, bytes]


class AnnouncementQueue:
    """Announcements from any number of threads, each path once, the oldest of an account first.

    Announcing never waits.  If the queue is full, the account with the most announcements loses
    the newest half of its own, reported as a gap (QUEUE_FULL), so every announcement is either
    drained or covered by a gap.  Accounts are drained in turn.

    ``position`` is the last one up to which everything was drained, None if there is none.
    """

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Hold at most *limit* announcements, and MEAN_SIZE bytes for each."""
        self._limit, self._clock = limit, clock
        self._filled = threading.Condition(threading.Lock())
        self._waiting = 0
        self._accounts: OrderedDict[_Account, OrderedDict[bytes, Announcement]] = OrderedDict()
        self._number = self._bytes = 0
        self._written: OrderedDict[bytes, tuple[float, Announcement]] = OrderedDict()
        self._rewritten: dict[bytes, Announcement] = {}
        self._gaps: dict[tuple[str, Cause, bytes], MissedEvents] = {}
        self._positions = _OpenPositions()
        self.position: WatchPosition | None = None

    def announce(self, announcement: Announcement) -> None:
        """Add a file; of two announcements of a path the later one counts.

        A write without a close, or a change of attributes, does not replace anything else.
        """
        with self._filled:
            self._positions.open(announcement)
            if announcement.change is Change.WRITTEN and not announcement.tree:
                self._add_written(announcement)
                return
            if announcement.closed:
                self._forget_written(announcement.path)
            self._add(announcement)
            if self._waiting:
                self._filled.notify()

    def report_missed(self, missed: MissedEvents) -> None:
        """Add a gap."""
        with self._filled:
            self._add_gap(missed)
            if self._waiting:
                self._filled.notify()

    def reach(self, position: WatchPosition) -> None:
        """Note that everything up to *position* has been announced or reported."""
        with self._filled:
            self._positions.reached = position

    def drain(
        self, at_most: int, timeout: float, *, everything: bool = False
    ) -> tuple[list[Announcement], list[MissedEvents]]:
        """Remove and return at most *at_most* announcements, in turn by account, and all gaps.

        Waits up to *timeout* seconds for the first announcement or gap.  Writes to open files are
        returned after WRITE_DELAY, with *everything* at once.
        """
        with self._filled:
            self._waiting += 1
            try:
                self._filled.wait_for(lambda: self._number or self._gaps, self._wait(timeout))
            finally:
                self._waiting -= 1
            self._release_written(everything=everything)
            files = self._take(min(at_most, self._number))
            gaps, self._gaps = list(self._gaps.values()), {}
            self.position = self._positions.last_closed
        return files, gaps

    @property
    def lag(self) -> float:
        """Seconds that the oldest write in the queue may be old; 0 if there is none."""
        return WRITE_DELAY if self._written else 0.0

    def __len__(self) -> int:
        """Return the number of announcements, without the writes that wait for further ones."""
        return self._number

    def _add(self, announcement: Announcement) -> None:
        account = announcement.root, announcement.account
        files = self._accounts.get(account)
        before = files.get(announcement.path) if files else None
        if files is not None and before is not None:
            replaces = _replaces(announcement, before)
            if replaces:
                files[announcement.path] = announcement
            self._positions.close(before if replaces else announcement)
            return
        self._number += 1
        self._bytes += OVERHEAD + len(announcement.path)
        self._accounts.setdefault(account, OrderedDict())[announcement.path] = announcement
        self._make_room()

    def _add_written(self, announcement: Announcement) -> None:
        """Hold a write; if writes may follow that are not announced, for a second time later."""
        now, path = self._clock(), announcement.path
        if path not in self._written:
            self._number_of_written(announcement, 1)
            self._written[path] = now + WRITE_DELAY, announcement
            self._make_room()
        elif self._written[path][0] < now + REPEAT_PERIOD:
            self._close(self._rewritten.get(path))
            self._rewritten[path] = announcement
        else:
            self._positions.close(announcement)

    def _forget_written(self, path: bytes) -> None:
        self._close(self._rewritten.pop(path, None))
        if (written := self._written.pop(path, None)) is not None:
            self._number_of_written(written[1], -1)
            self._positions.close(written[1])

    def _close(self, announcement: Announcement | None) -> None:
        if announcement is not None:
            self._positions.close(announcement)

    def _number_of_written(self, announcement: Announcement, sign: int) -> None:
        self._bytes += sign * (OVERHEAD + len(announcement.path))

    def _release_written(self, *, everything: bool = False) -> None:
        now = self._clock()
        while self._written:
            path, (due, announcement) = next(iter(self._written.items()))
            if due > now and not everything:
                return
            del self._written[path]
            self._number_of_written(announcement, -1)
            rewritten = self._rewritten.pop(path, None)
            self._add(announcement)
            if rewritten is not None and not everything:
                self._add_written(rewritten)
            else:
                self._close(rewritten)

    def _wait(self, timeout: float) -> float:
        if not self._written:
            return timeout
        due, _ = next(iter(self._written.values()))
        return max(0.0, min(timeout, due - self._clock()))

    def _take(self, number: int) -> list[Announcement]:
        """Remove and return announcements, as many of each account as the others leave."""
        taken: list[Announcement] = []
        while len(taken) < number:
            share = max(1, (number - len(taken)) // len(self._accounts))
            for account in list(self._accounts)[: number - len(taken)]:
                files = self._accounts.pop(account)
                most = min(share, len(files), number - len(taken))
                taken += [files.popitem(last=False)[1] for _ in range(most)]
                if files:
                    self._accounts[account] = files  # its next turn comes after all others
        self._number -= len(taken)
        for announcement in taken:
            self._bytes -= OVERHEAD + len(announcement.path)
            self._positions.close(announcement)
        return taken

    def _make_room(self) -> None:
        """Drop announcements of the largest account until the rest fits."""
        while self._number > self._limit or self._bytes > self._limit * MEAN_SIZE:
            if not self._number:
                self._release_written(everything=True)
                continue
            account = max(self._accounts, key=lambda each: len(self._accounts[each]))
            files = self._accounts[account]
            for _ in range(-(-len(files) // 2)):
                path, dropped = files.popitem(last=True)
                self._positions.close(dropped)
                self._number -= 1
                self._bytes -= OVERHEAD + len(path)
            if not files:
                del self._accounts[account]
            root, directory = account
            detail = "too many files at a time"
            self._add_gap(MissedEvents(root, Cause.QUEUE_FULL, detail, directory))

    def _add_gap(self, missed: MissedEvents) -> None:
        key = missed.root, missed.cause, missed.path
        if key not in self._gaps and len(self._gaps) >= MAX_GAPS:
            key = missed.root, missed.cause, b""
            missed = MissedEvents(missed.root, missed.cause, missed.detail)
        self._gaps[key] = missed


class _OpenPositions:
    """The positions of the announcements in the queue, in the order of their arrival."""

    def __init__(self) -> None:
        self._numbers: dict[WatchPosition, int] = {}
        self.reached: WatchPosition | None = None

    def open(self, announcement: Announcement) -> None:
        """Note an announcement that has arrived."""
        if (position := announcement.position) is not None:
            self._numbers[position] = self._numbers.get(position, 0) + 1

    def close(self, announcement: Announcement) -> None:
        """Note an announcement that was drained, replaced or dropped."""
        if (position := announcement.position) is not None:
            if self._numbers[position] > 1:
                self._numbers[position] -= 1
            else:
                del self._numbers[position]

    @property
    def last_closed(self) -> WatchPosition | None:
        """The last position up to which no announcement is open."""
        for first in self._numbers:
            return WatchPosition(first.stream, first.number - 1)
        return self.reached


_RANKS = {Change.ATTRIBUTES: 0, Change.WRITTEN: 1, Change.NAMED: 2, Change.CLOSED: 2}


def _replaces(announcement: Announcement, before: Announcement) -> bool:
    """Return whether the later announcement of a path means at least as much as the earlier."""
    if before.tree or announcement.tree:
        return announcement.tree
    return _RANKS[announcement.change] >= _RANKS[before.change]


class RecentWrites:
    """Recognizes writes to a file that were announced a moment ago.  For one thread.

    A process that writes without a pause causes 100,000 events a second.  The first write of a
    period is announced, and the queue drains an announcement of the file after the period, so the
    writes that are dropped here came before one.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends = -math.inf
        self._files: set[tuple[int, bytes, bytes]] = set()

    def is_repeated(self, directory: int, handle: bytes, name: bytes) -> bool:
        """Return whether a write to this file need not be announced."""
        now, file = self._clock(), (directory, handle, name)
        if now >= self._ends:
            self._ends = now + REPEAT_PERIOD
            self._files.clear()
        repeated = file in self._files
        self._files.add(file)
        return repeated

    def forget(self, directory: int, handle: bytes, name: bytes) -> None:
        """Announce the next write, because the file was announced otherwise meanwhile."""
        self._files.discard((directory, handle, name))
