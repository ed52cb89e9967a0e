"""Covering gaps: a walk compares the root with the storage and announces what differs.

A gap that has ended is covered by a walk that began after its end.  One that lasts (a network file
system, too few watches) is walked from time to time and stays open.  Every root is also compared at
a regular interval, without any gap.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from queue import SimpleQueue

from hashwacht.core.watch_events import Cause, Lane, MissedEvents
from hashwacht.daemon.scanner.rescans.trees import CompareResult, Comparison
from hashwacht.daemon.scanner.roots import WatchedRoot
from hashwacht.daemon.scanner.runtime import Runtime, RuntimeHandle
from hashwacht.daemon.scanner.threads import Backpressure, retry_until
from hashwacht.daemon.scanner.watch_monitor import directory_id
from hashwacht.engine.compare import StillPresent, required_freshness
from hashwacht.engine.rereads import walk_schedule
from hashwacht.platform.filesystems.responsiveness import RESPONSE_PROBE
from hashwacht.storage.gaps import Gap
from hashwacht.storage.store import Store

_log = logging.getLogger(__name__)

IDLE = 1.0
"""Seconds after which gaps are queried without a signal."""

CALM, MAX_POSTPONED = 1.0, 30.0
"""Seconds after the end of a burst until it is covered; at most so long after its beginning."""

PAUSE_FACTOR = 20
"""After a comparison of a whole root, at least that many times as long as it took until the next
one that no gap demands."""

MAX_REST = 60.0
"""Most seconds between two walks of a root; otherwise as long as the walk took."""

UNLISTED_RETRY = 900.0
"""Seconds until a directory that could not be listed is tried again."""

ABSENT_RETRY = 30.0
"""Seconds until a root that does not exist is tried again."""

REMOVE_BATCH = 500
"""Directories whose existence is checked together."""


class Reconciler:
    """Walks where events may have been missed.  ``run`` in a thread of its own."""

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
        """*on_work* is called when the journal may have new entries."""
        self.wakeup, self._due = threading.Event(), threading.Condition()
        self._store, self._runtime, self._stop = store, runtime, stop
        self._on_work, self._clock = on_work, clock
        self._backpressure = Backpressure(store, Lane.RECONCILE, stop, has_uploads)
        self._not_before: dict[str, float] = {}
        self._unlisted_due: dict[str, float] = {}
        self._walk_seconds: dict[str, float] = {}

    def run(self) -> None:
        """Walk until the stop, each root in a thread of its own: a file system may hang.

        Raises what ends one of these threads.
        """
        threads: dict[str, threading.Thread] = {}
        failures: SimpleQueue[BaseException] = SimpleQueue()
        while not self._stop.is_set() and failures.empty():
            self.wakeup.clear()
            for name in [root.name for root in self._runtime.current.roots.all]:
                if name not in threads or not threads[name].is_alive():
                    work = partial(self._run_root, name, failures)
                    threads[name] = threading.Thread(
                        target=work, name=f"reconciler-{name}", daemon=True
                    )
                    threads[name].start()
            self.wakeup.wait(IDLE)
            with self._due:
                self._due.notify_all()
        if self._stop.is_set():
            for thread in threads.values():
                thread.join()
        if not failures.empty():
            raise failures.get()

    def _run_root(self, name: str, failures: SimpleQueue[BaseException]) -> None:
        """Walk one root until the stop, or until it is no longer configured."""
        try:
            while not self._stop.is_set() and failures.empty():
                with self._runtime.borrow() as runtime:
                    root = next((root for root in runtime.roots.all if root.name == name), None)
                    walked = root is not None and self._reconcile(root, runtime)
                if root is None:
                    return
                if not walked:
                    with self._due:
                        self._due.wait(IDLE)
        except BaseException as error:  # noqa: BLE001  # raised by ``run``
            failures.put(error)

    def _reconcile(self, root: WatchedRoot, runtime: Runtime) -> bool:
        """Walk a root if that is due; return whether there was anything to do."""
        began, now = time.monotonic(), self._clock()
        hanging = RESPONSE_PROBE.is_hanging(root.path)
        if hanging or began < self._not_before.get(root.name, 0.0):
            return False
        gaps = self._store.gaps.load_open(root.name)
        due = [gap for gap in gaps if _is_due(gap, now)]
        if began >= self._unlisted_due.setdefault(root.name, began + UNLISTED_RETRY):
            self._unlisted_due[root.name] = began + UNLISTED_RETRY
            due += [gap for gap in gaps if gap.cause is Cause.UNLISTED]
        if not due:
            last = self._store.gaps.load_last_walk(root.name)
            pause = PAUSE_FACTOR * self._walk_seconds.get(root.name, 0.0)
            interval = max(runtime.settings.rescan_interval, pause)
            if last is not None and _is_recent(last, now, interval):
                return False
            self._store.gaps.record(MissedEvents(root.name, Cause.PERIODIC), now, now)
            return True
        paths = _outermost({gap.path for gap in due})
        complete = [self._walk(root, path, runtime, gaps) for path in paths]
        ended = time.monotonic()
        rested = ended + min(MAX_REST, ended - began)
        self._not_before[root.name] = rested if all(complete) else began + ABSENT_RETRY
        return True

    def _walk(self, root: WatchedRoot, below: bytes, runtime: Runtime, gaps: Sequence[Gap]) -> bool:
        """Compare a directory and close those of *gaps* that this covers.

        *gaps* were loaded before: a gap that is reported during the walk may not be covered by it.
        """
        path, began = below or root.path, self._clock()
        result = self._compare(root, path, runtime)
        if result is None:
            return False
        if path == root.path:
            self._walk_seconds[root.name] = self._clock() - began
            self._remove_vanished(root)
        covered = [gap for gap in gaps if _is_within(gap.path or root.path, path)]
        self._close(root, covered, result, began)
        counts = root.name, result.files, result.announced
        _log.info("compared %s: %d files, %d of them new or changed", *counts)
        return True

    def _compare(self, root: WatchedRoot, path: bytes, runtime: Runtime) -> CompareResult | None:
        """Walk; return None if the root does not exist now.  A directory below it may be gone."""

        def step() -> None:
            self._on_work()
            self._backpressure.step(runtime.settings.max_backlog)

        now = self._clock()
        freshness = required_freshness(self._store, runtime.pipeline, now)
        schedule = walk_schedule(self._store, root.name, runtime.reread_interval, now)
        comparison = Comparison(
            self._store,
            root,
            # The recheck of all contents finds those that a new list has made ambiguous.
            replace(freshness, needs_exact_hash=lambda _content: False),
            is_reread=schedule.is_due,
            lane=Lane.RECONCILE,
            clock=self._clock,
            stop=self._stop,
            step=step,
        )
        try:
            result = comparison.walk(path)
        except OSError as error:
            _log.warning("%s cannot be compared: %s", root.name, error.strerror)
            return CompareResult(unlisted=[(path, str(error))]) if path != root.path else None
        self._on_work()
        return result if result.complete or path != root.path else None

    def _close(
        self, root: WatchedRoot, covered: Sequence[Gap], result: CompareResult, began: float
    ) -> None:
        """Close gaps that had ended or were listed now; open one for each unlisted directory."""
        unlisted = {path for path, _ in result.unlisted}
        over = [
            gap
            for gap in covered
            if gap.ended is not None or (gap.cause is Cause.UNLISTED and gap.path not in unlisted)
        ]
        with self._store.transaction():
            self._store.gaps.record_covered(over, self._clock())
            for path, detail in result.unlisted:
                missed = MissedEvents(root.name, Cause.UNLISTED, detail, path)
                self._store.gaps.record(missed, began, None)

    def _remove_vanished(self, root: WatchedRoot) -> None:
        """Remove directories that no longer exist, unless the root is another directory now.

        The former one may be mounted again later, and all its files would be read again.
        """
        known, current = self._store.gaps.load_heartbeats().get(root.name), directory_id(root.path)
        if known is None or current is None:
            return
        if (known.dev, known.ino) != current:
            record = partial(self._store.gaps.record_comparison, root.name, *current)
            retry_until(record, self._stop)
            return
        present, after = StillPresent(), root.path
        while directories := self._store.files.load_directories(root.path, after, REMOVE_BATCH):
            vanished = [path for path in directories if path not in present]
            if vanished:
                retry_until(partial(self._store.files.remove_directories, vanished), self._stop)
            after = directories[-1]
            self._backpressure.yield_to_uploads()


def _outermost(paths: Collection[bytes]) -> list[bytes]:
    """Return the paths that are not below another one; empty is the whole root."""
    if b"" in paths:
        return [b""]
    return [path for path in paths if not any(o != path and _is_within(path, o) for o in paths)]


def _is_due(gap: Gap, now: float) -> bool:
    """Return whether a gap has ended, and no further gaps of a burst are to be expected."""
    if gap.ended is None or gap.cause not in {Cause.OVERFLOW, Cause.QUEUE_FULL}:
        return gap.ended is not None
    continues = _is_recent(gap.ended, now, CALM)
    return not (continues and _is_recent(gap.began, now, MAX_POSTPONED))


def _is_recent(past: float, now: float, seconds: float) -> bool:
    """Return whether a time is less than so many seconds ago, and not in the future."""
    return 0.0 <= now - past < seconds


def _is_within(path: bytes, above: bytes) -> bool:
    return path == above or path.startswith(above.rstrip(b"/") + b"/")
