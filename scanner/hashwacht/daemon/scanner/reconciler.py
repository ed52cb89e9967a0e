"""Closing gaps: a walk compares the root with the state and announces what differs.

A gap that has ended is closed by a walk that began after its end.  One that lasts (a network file
system, too few watches) is walked from time to time and stays open.  Without any gap every root is
compared from time to time all the same.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial

from hashwacht.core.watch_events import Cause, Lane, MissedEvents
from hashwacht.daemon.scanner.roots import WatchedRoot
from hashwacht.daemon.scanner.runtime import Runtime, RuntimeHandle
from hashwacht.daemon.scanner.threads import Backpressure, retry_until
from hashwacht.daemon.scanner.trees import CompareResult, Comparison
from hashwacht.daemon.scanner.watch_monitor import directory_id
from hashwacht.engine.compare import StillPresent
from hashwacht.engine.freshness import required_freshness
from hashwacht.storage.gaps import Gap
from hashwacht.storage.store import Store

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
        runtime: RuntimeHandle,
        stop: threading.Event,
        *,
        has_uploads: Callable[[], bool],
        on_work: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take *uploads*, which says if some are on their way, and *found*, to tell of new work."""
        self.wakeup = threading.Event()
        self._store, self._runtime, self._stop = store, runtime, stop
        self._on_work, self._clock = on_work, clock
        self._gate = Backpressure(store, Lane.RECONCILE, stop, has_uploads)
        self._not_before: dict[str, float] = {}
        self._unlisted: dict[str, float] = {}

    def run(self) -> None:
        """Go on until the stop."""
        while not self._stop.is_set():
            self.wakeup.clear()
            with self._runtime.borrow() as parts:
                walked = [self._turn(root, parts) for root in parts.roots.all]
            if not any(walked):
                self.wakeup.wait(IDLE)

    def _turn(self, root: WatchedRoot, parts: Runtime) -> bool:
        """Walk a root if it is time; say if it was."""
        began, now = time.monotonic(), self._clock()
        if began < self._not_before.get(root.name, 0.0):
            return False
        gaps = self._store.gaps.load_open(root.name)
        due = [gap for gap in gaps if _is_over(gap, now)]
        if began >= self._unlisted.setdefault(root.name, began + UNLISTED_AGAIN):
            self._unlisted[root.name] = began + UNLISTED_AGAIN
            due += [gap for gap in gaps if gap.cause is Cause.UNLISTED]
        if not due:
            last = self._store.gaps.load_last_walk(root.name)
            if last is not None and _within_time(last, now, parts.settings.rescan_interval):
                return False
            self._store.gaps.record(MissedEvents(root.name, Cause.PERIODIC), now, now)
            return True
        paths = _outermost({gap.path for gap in due})
        whole = [self._walk(root, path, parts, gaps) for path in paths]
        ended = time.monotonic()
        self._not_before[root.name] = ended + min(REST, ended - began)
        if not all(whole):
            self._not_before[root.name] = began + ABSENT_AGAIN
        return True

    def _walk(self, root: WatchedRoot, below: bytes, parts: Runtime, gaps: Sequence[Gap]) -> bool:
        """Compare what is below a path, and close those of *gaps* that this makes up for.

        They were read before: of what is said while it is walked, nothing is known to be seen.
        """
        path, began = below or root.path, self._clock()
        walked = self._compare(root, path, parts)
        if walked is None:
            return False
        if path == root.path:
            self._forget_gone(root)
        covered = [gap for gap in gaps if _within(gap.path or root.path, path)]
        self._close(root, covered, walked, began)
        _log.info(
            "compared %s: %d files, %d of them new or changed",
            root.name,
            walked.files,
            walked.announced,
        )
        return True

    def _compare(self, root: WatchedRoot, path: bytes, parts: Runtime) -> CompareResult | None:
        """Walk; None if there is nothing to walk just now.  Below the root, it may be gone."""

        def step() -> None:
            self._on_work()
            self._gate.step(parts.settings.max_backlog)

        today = required_freshness(self._store, parts.pipeline, self._clock())
        comparison = Comparison(
            self._store,
            root,
            # Contents that a new list comes near to are found by asking about all of them.
            replace(today, needs_exact_hash=lambda _content: False),
            lane=Lane.RECONCILE,
            clock=self._clock,
            stop=self._stop,
            step=step,
        )
        try:
            walked = comparison.walk(path)
        except OSError as error:
            _log.warning("%s cannot be compared: %s", root.name, error.strerror)
            return CompareResult(unlisted=[(path, str(error))]) if path != root.path else None
        self._on_work()
        return walked if walked.complete or path != root.path else None

    def _close(
        self, root: WatchedRoot, covered: Sequence[Gap], walked: CompareResult, began: float
    ) -> None:
        """Close what had ended, or was listed now; open one for each directory left out."""
        unlisted = {where for where, _ in walked.unlisted}
        over = [
            gap
            for gap in covered
            if gap.ended is not None or (gap.cause is Cause.UNLISTED and gap.path not in unlisted)
        ]
        with self._store.transaction():
            self._store.gaps.record_covered(over, self._clock())
            for where, detail in walked.unlisted:
                self._store.gaps.record(
                    MissedEvents(root.name, Cause.UNLISTED, detail, where), began, None
                )

    def _forget_gone(self, root: WatchedRoot) -> None:
        """Forget directories that are no more; not if another directory is there than last time.

        The other one may be back tomorrow, or mounted again, and all in it would be read again.
        """
        known, here = self._store.gaps.load_heartbeats().get(root.name), directory_id(root.path)
        if known is None or here is None:
            return
        if (known.dev, known.ino) != here:
            retry_until(partial(self._store.gaps.record_comparison, root.name, *here), self._stop)
            return
        present = StillPresent()
        after = root.path
        while directories := self._store.files.load_directories(root.path, after, FORGOTTEN):
            gone = [path for path in directories if path not in present]
            if gone:
                retry_until(partial(self._store.files.remove_directories, gone), self._stop)
            after = directories[-1]
            self._gate.yield_to_uploads()


def _outermost(paths: Collection[bytes]) -> list[bytes]:
    """Leave out what lies below others of them; empty stands for the whole root."""
    if b"" in paths:
        return [b""]
    return [path for path in paths if not any(o != path and _within(path, o) for o in paths)]


def _is_over(gap: Gap, now: float) -> bool:
    """Say if a gap has ended, and a flood has calmed down."""
    if gap.ended is None or gap.cause not in FLOODS:
        return gap.ended is not None
    calming = _within_time(gap.ended, now, CALM)
    return not (calming and _within_time(gap.began, now, IMPATIENT))


def _within_time(past: float, now: float, seconds: float) -> bool:
    """Say if that was less than so long ago; a time in the future, by another clock, was not."""
    return 0.0 <= now - past < seconds


def _within(path: bytes, above: bytes) -> bool:
    return path == above or path.startswith(above.rstrip(b"/") + b"/")
