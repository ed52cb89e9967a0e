"""Closing gaps: a walk compares the root with the state and announces what differs.

A gap that has ended is closed by a walk that began after its end.  One that lasts (a network file
system, too few watches) is walked from time to time and stays open.  Without any gap every root is
compared from time to time all the same.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

from hashwacht.announcement import Cause, Lane, Missed
from hashwacht.daemon.comparing import Comparison, Walked
from hashwacht.daemon.gate import Gate
from hashwacht.daemon.parts import Current, Parts
from hashwacht.daemon.patience import patiently
from hashwacht.daemon.roots import WatchedRoot
from hashwacht.daemon.seeing import identity
from hashwacht.scan.present import Present
from hashwacht.scan.wanted import wanted
from hashwacht.state.gaps import Gap
from hashwacht.state.store import Store

_log = logging.getLogger(__name__)

IDLE = 1.0
"""Seconds after which it is looked again without being told to."""

FLOODS = frozenset({Cause.OVERFLOW, Cause.QUEUE_FULL})
"""Causes that come again and again in short order."""

CALM, IMPATIENT = 1.0, 30.0
"""Seconds after its end until a flood is made up for; after its beginning at the latest."""

REST = 60.0
"""Seconds between two walks of a root at the longest; at least as long as the walk took."""

UNLISTED_AGAIN = 900.0
"""Seconds until a directory that could not be listed is tried again."""

ABSENT_AGAIN = 30.0
"""Seconds until a root is looked for again that was not there."""

FORGOTTEN = 500
"""Directories that are looked for at a time, to forget those that are gone."""


class Reconciler:
    """Walks where something may have been missed.  ``run`` in a thread of its own."""

    def __init__(
        self,
        store: Store,
        current: Current,
        stop: threading.Event,
        *,
        uploads: Callable[[], bool],
        found: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take *uploads*, which says if some are on their way, and *found*, to tell of new work."""
        self.bell = threading.Event()
        self.closed: Callable[[Sequence[Gap]], None] = lambda _gaps: None
        self._store, self._current, self._stop = store, current, stop
        self._found, self._clock = found, clock
        self._gate = Gate(store, Lane.RECONCILE, stop, uploads)
        self._not_before: dict[str, float] = {}

    def run(self) -> None:
        """Go on until the stop."""
        while not self._stop.is_set():
            self.bell.clear()
            with self._current.using() as parts:
                walked = [self._turn(root, parts) for root in parts.roots.all]
            if not any(walked):
                self.bell.wait(IDLE)

    def _turn(self, root: WatchedRoot, parts: Parts) -> bool:
        """Walk a root if it is time; say if it was."""
        now = self._clock()
        if now < self._not_before.get(root.name, 0.0):
            return False
        gaps = self._store.gaps.list_open(root.name)
        paths = _to_walk(gaps, now)
        if not paths:
            if now - (self._store.gaps.last_walk(root.name) or 0.0) < parts.settings.reconcile:
                return False
            self._store.gaps.open(Missed(root.name, Cause.PERIODIC), now, now)
            return True
        whole = [self._walk(root, path or root.path, parts) for path in paths]
        took = self._clock() - now
        self._not_before[root.name] = now + took + min(REST, took)
        if not all(whole):
            self._not_before[root.name] = now + ABSENT_AGAIN
        return True

    def _walk(self, root: WatchedRoot, path: bytes, parts: Parts) -> bool:
        """Compare what is below *path*, and close the gaps that this makes up for."""
        began = self._clock()
        walked = self._compare(root, path, parts)
        if walked is None:
            return False
        if path == root.path:
            self._forget_gone(root)
        self._close(root, path, walked, began)
        _log.info(
            "compared %s: %d files, %d of them new or changed",
            root.name,
            walked.files,
            walked.announced,
        )
        return True

    def _compare(self, root: WatchedRoot, path: bytes, parts: Parts) -> Walked | None:
        """Walk; None if there is nothing to walk just now.  Below the root, it may be gone."""

        def step() -> None:
            self._found()
            self._gate.step(parts.settings.backlog)

        today = wanted(self._store, parts.pipeline, self._clock())
        comparison = Comparison(
            self._store,
            root,
            # Contents that a new list comes near to are found by asking about all of them.
            replace(today, undecided=lambda _content: False),
            lane=Lane.RECONCILE,
            clock=self._clock,
            stop=self._stop,
            step=step,
        )
        try:
            walked = comparison.walk(path)
        except OSError as error:
            _log.warning("%s cannot be compared: %s", root.name, error.strerror)
            return Walked(unlisted=[(path, str(error))]) if path != root.path else None
        self._found()
        return walked if walked.whole or path != root.path else None

    def _close(self, root: WatchedRoot, path: bytes, walked: Walked, began: float) -> None:
        """Close what ended before the walk began; open one for each directory left out."""
        unlisted = {where for where, _ in walked.unlisted}
        gaps = self._store.gaps.list_open(root.name)
        covered = [gap for gap in gaps if _within(gap.path or root.path, path)]
        with self._store.transaction():
            listed = [
                gap.id
                for gap in covered
                if gap.cause is Cause.UNLISTED and gap.path not in unlisted
            ]
            self._store.gaps.end(listed, began)
            for where, detail in walked.unlisted:
                self._store.gaps.open(Missed(root.name, Cause.UNLISTED, detail, where), began, None)
            now = self._clock()
            done = set(self._store.gaps.close([gap.id for gap in covered], began, now))
        self.closed([replace(gap, closed=now) for gap in covered if gap.id in done])

    def _forget_gone(self, root: WatchedRoot) -> None:
        """Forget directories that are no more, unless the whole root is another one than it was."""
        known = self._store.gaps.watched().get(root.name)
        if known is None or (known.dev, known.ino) != identity(root.path):
            return
        present = Present()
        after = root.path
        while directories := self._store.files.directories(root.path, after, FORGOTTEN):
            gone = [path for path in directories if path not in present]
            if gone:
                patiently(partial(self._store.files.forget_directories, gone), self._stop)
            after = directories[-1]
            self._gate.polite()


def _to_walk(gaps: Iterable[Gap], now: float) -> list[bytes]:
    """Say which paths to walk, empty standing for the whole root; outer ones only."""
    due = {
        gap.path
        for gap in gaps
        if _is_over(gap, now) or (gap.cause is Cause.UNLISTED and now - gap.began >= UNLISTED_AGAIN)
    }
    if b"" in due:
        return [b""]
    return [path for path in due if not any(o != path and _within(path, o) for o in due)]


def _is_over(gap: Gap, now: float) -> bool:
    """Say if a gap has ended, and a flood has calmed down."""
    if gap.ended is None or gap.cause not in FLOODS:
        return gap.ended is not None
    return now - gap.ended >= CALM or now - gap.began >= IMPATIENT


def _within(path: bytes, above: bytes) -> bool:
    return path == above or path.startswith(above.rstrip(b"/") + b"/")
