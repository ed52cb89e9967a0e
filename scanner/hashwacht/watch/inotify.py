"""The Watch that needs no privilege: inotify, with one kernel watch for each directory."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hashwacht.core.watch_events import Cause, MissedEvents, Root, WatchListener
from hashwacht.platform.backoff import Backoff
from hashwacht.platform.mounts import Mounts
from hashwacht.watch.inotify_root import InotifyRoot
from hashwacht.watch.root_state import RootState, network_mounts, read_root_state, root_change

REPEAT = 60.0
"""Seconds after which a root that cannot be watched is reported as missed again."""

RETRY = Backoff(60.0, 3600.0)
"""Between two attempts to watch directories for which the kernel had no watch left."""


@dataclass(slots=True)
class _Watched:
    """A root, its state when its watch began, and the watch, if there is one."""

    root: Root
    state: RootState | None = None
    watch: InotifyRoot | None = None
    reported_at: float = 0.0
    retried_at: float = 0.0
    failures: int = 1


class InotifyWatch:
    """Watches each root separately, so that the end of one watch does not affect the others."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """*clock* returns monotonic seconds."""
        self._clock = clock
        self._roots: dict[str, _Watched] = {}

    def start(self, roots: Sequence[Root], listener: WatchListener) -> None:
        """Watch from now on.  Raises OSError if /proc cannot be read."""
        self._listener = listener
        if not self._roots:
            self._mounts = Mounts()
        for each in [each for each in self._roots.values() if each.root not in roots]:
            self._end(each)
            del self._roots[each.root.name]
        for root in roots:
            if root.name not in self._roots:
                self._roots[root.name] = _Watched(root)
                self._begin(self._roots[root.name], None)

    def maintain(self) -> None:
        """Restart watches that ended or whose root was replaced; maintain the others."""
        self._mounts.refresh()
        for each in self._roots.values():
            now = read_root_state(each.root, self._mounts)
            if each.watch is None:
                if now is not None or self._clock() >= each.reported_at + REPEAT:
                    self._begin(each, root_change(each.root, each.state, now))
            elif (change := self._change(each, now)) is not None:
                self._end(each)
                self._begin(each, change)
            elif now is not None:
                self._maintain(each, each.watch, now)

    def renew(self, root: str) -> None:
        """Restart the watch of a root; what was missed until now is reported again afterwards."""
        each = self._roots[root]
        self._end(each)
        self._begin(each, MissedEvents(root, Cause.DEAD_WATCH, "it is watched anew"))

    def close(self) -> None:
        """Stop watching."""
        for each in self._roots.values():
            self._end(each)
        if self._roots:
            self._mounts.close()
        self._roots = {}

    def _change(self, each: _Watched, now: RootState | None) -> MissedEvents | None:
        """Return what has happened to a root that was watched."""
        change = root_change(each.root, each.state, now)
        if change is not None or each.watch is None:
            return change
        if each.watch.gone:
            detail = "it was deleted, moved or unmounted"
            return MissedEvents(each.root.name, Cause.REPLACED, detail)
        if not each.watch.alive:
            return MissedEvents(each.root.name, Cause.DEAD_WATCH, "the watch had ended")
        return None

    def _begin(self, each: _Watched, change: MissedEvents | None) -> None:
        """Watch a root if it exists; report afterwards what was missed before."""
        now = read_root_state(each.root, self._mounts)
        if now is None:
            change = root_change(each.root, each.state, None)
        else:
            try:
                each.watch = InotifyRoot(each.root, now, self._listener)
            except OSError as error:
                change = _refused(each.root, error)
        each.state = now
        if change is not None:
            self._listener.report_missed(change)
        if each.watch is not None and now is not None:
            for one in network_mounts(each.root, now):
                self._listener.report_missed(one)
        each.reported_at = each.retried_at = self._clock()
        each.failures = 1

    def _maintain(self, each: _Watched, watch: InotifyRoot, now: RootState) -> None:
        """Follow mounts below the root, and retry what could not be watched."""
        before, each.state = each.state, now
        if before is not None and now != before:
            changed = set(before.below) ^ set(now.below)
            watch.update_mounts(now, sorted({mount.point for mount in changed}))
            for one in network_mounts(each.root, now):
                if one not in network_mounts(each.root, before):
                    self._listener.report_missed(one)
        watch.maintain()
        if watch.incomplete and self._clock() >= each.retried_at + RETRY.delay(each.failures):
            each.retried_at = self._clock()
            each.failures = 1 if watch.retry() else each.failures + 1

    def _end(self, each: _Watched) -> None:
        if each.watch is not None:
            each.watch.close()
            each.watch = None


def _refused(root: Root, error: OSError) -> MissedEvents:
    """Return why a root cannot be watched at all."""
    if error.errno in {errno.ENOSPC, errno.EMFILE, errno.ENOMEM}:
        limit = "fs.inotify.max_user_watches or max_user_instances"
        return MissedEvents(root.name, Cause.WATCH_LIMIT, f"the root itself has no watch ({limit})")
    return MissedEvents(root.name, Cause.UNLISTED, error.strerror or str(error))
