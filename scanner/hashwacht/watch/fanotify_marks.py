"""The file systems that the watcher marks for the roots, and the changes of the roots."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Self

from hashwacht.core.watch_events import Cause, MissedEvents, Root
from hashwacht.platform import fanotify
from hashwacht.platform.filesystems.mounts import Mount, Mounts
from hashwacht.watch.fanotify_paths import WatchedMount
from hashwacht.watch.root_state import RootState, network_mounts, read_root_state, root_change

REPEAT = 60.0
"""Seconds after which a root that does not exist is reported as missed again."""

MARK_REPEAT = 3600.0
"""The same for a file system that cannot be marked."""


class RootIdentity(NamedTuple):
    """What identifies a root in another mount namespace, where its mounts have other numbers.

    *mounts* are the mount points at and below it, with the devices of their file systems.
    """

    dev: int
    ino: int
    mounts: tuple[tuple[bytes, int], ...]

    @classmethod
    def of(cls, state: RootState) -> Self:
        """Return the identity of a root in that state."""
        mounts = (state.mount, *state.below)
        return cls(state.dev, state.ino, tuple((mount.point, mount.dev) for mount in mounts))

    @property
    def devices(self) -> set[int]:
        """The devices of the file systems of the root."""
        return {device for _, device in self.mounts}


class FanotifyMarks:
    """The marks for all roots of one scanner."""

    def __init__(
        self, roots: Sequence[Root], group: int, mounts: Mounts, clock: Callable[[], float]
    ) -> None:
        self._roots, self._group, self._mounts, self._clock = roots, group, mounts, clock
        self._states: list[RootState | None] = [None] * len(roots)
        self._repeat_at: dict[tuple[str, Cause, bytes], float] = {}
        self._unresolved: dict[int, str] = {}
        self._marked: set[int] = set()
        self.places: list[WatchedMount] = []

    def begin(self) -> list[MissedEvents]:
        """Mark the file systems of all roots; return what cannot be watched."""
        self._states = [read_root_state(root, self._mounts) for root in self._roots]
        return self.report_again()

    def report_again(self) -> list[MissedEvents]:
        """Return what cannot be watched now, for a scanner that does not know it."""
        self._repeat_at.clear()
        missed: list[MissedEvents] = []
        for root, now in zip(self._roots, self._states, strict=True):
            if now is None:
                missed += self._repeated(root_change(root, None, None), REPEAT)
            else:
                missed += network_mounts(root, now)
        return missed + self._mark()

    @property
    def marked(self) -> frozenset[int]:
        """The devices of the marked file systems."""
        return frozenset(self._marked)

    def identities(self) -> list[RootIdentity | None]:
        """Return what identifies each root, None for one that does not exist."""
        return [None if state is None else RootIdentity.of(state) for state in self._states]

    def take_over(
        self, before: Sequence[RootIdentity | None], marked: frozenset[int]
    ) -> list[MissedEvents]:
        """Continue with a group in which another process had *marked* the roots.

        Returns what cannot be watched, and a gap for each root that was replaced or unmounted since
        *before*, or has another file system below it now.
        """
        lost = marked - fanotify.marked(self._group)
        missed = self.begin()
        detail = "it was replaced, or a file system was mounted or unmounted, during a restart"
        for root, former, state in zip(self._roots, before, self._states, strict=True):
            if state is not None:
                now = RootIdentity.of(state)
                if former != now or now.devices & lost:
                    missed.append(MissedEvents(root.name, Cause.REPLACED, detail))
        return missed

    def look(self, *, mounts_changed: bool) -> list[MissedEvents]:
        """Compare the roots with their last state and mark what is new; return what was missed."""
        missed: list[MissedEvents] = []
        # The marks of file systems ended when these were unmounted.
        stale = self._marked - fanotify.marked(self._group) if mounts_changed else set()
        self._marked -= stale
        for number, root in enumerate(self._roots):
            before = self._states[number]
            now = self._states[number] = read_root_state(root, self._mounts)
            change = root_change(root, before, now)
            if change is None and now is not None and now.mount.dev in stale:
                change = MissedEvents(root.name, Cause.UNMOUNTED, "it was unmounted for a while")
            if now is None and before is None:
                missed += self._repeated(change, REPEAT)
            elif change is not None:
                missed.append(change)
            if now is not None and now != before:
                missed += self._new_mounts(root, before, now)
        return missed + self._mark() + self.unresolved({})

    def mark_again(self, number: int) -> list[MissedEvents]:
        """Mark the root *number* again, because its canary was not announced."""
        for place in self.places:
            if place.root == number:
                fanotify.mark(self._group, place.path)
        return [MissedEvents(self._roots[number].name, Cause.DEAD_WATCH, "the watch was renewed")]

    def unresolved(self, roots: Mapping[int, str]) -> list[MissedEvents]:
        """Return gaps for roots with new files whose paths cannot be resolved.

        A walk of the whole root covers them, so a gap is reported at most once an hour, and once
        more if there were others since.
        """
        self._unresolved.update(roots)
        due: list[MissedEvents] = []
        for number, detail in [*self._unresolved.items()]:
            missed = MissedEvents(self._roots[number].name, Cause.UNLISTED, detail)
            if gaps := self._repeated(missed, MARK_REPEAT):
                due += gaps
                del self._unresolved[number]
        return due

    def _new_mounts(
        self, root: Root, before: RootState | None, now: RootState
    ) -> list[MissedEvents]:
        if before is None:
            return network_mounts(root, now)
        points = sorted({mount.point for mount in set(before.below) ^ set(now.below)})
        detail = "a file system was mounted or unmounted"
        return [
            *(MissedEvents(root.name, Cause.UNMOUNTED, detail, point) for point in points),
            *network_mounts(root, now, before),
        ]

    def _mark(self) -> list[MissedEvents]:
        self.places, missed = [], []
        for number, now in enumerate(self._states):
            if now is None:
                continue
            path = self._roots[number].path
            for mount, point in [(now.mount, path), *((each, each.point) for each in now.below)]:
                missed += self._mark_one(number, mount, point)
        return missed

    def _mark_one(self, number: int, mount: Mount, path: bytes) -> list[MissedEvents]:
        try:
            if mount.dev not in self._marked:
                fanotify.mark(self._group, path)
                self._marked.add(mount.dev)
            self.places.append(WatchedMount(number, path, mount, os.statvfs(path).f_fsid))
        except OSError as error:
            where = b"" if path == self._roots[number].path else path
            refused = _refused(self._roots[number], mount, where, error)
            return self._repeated(refused, MARK_REPEAT)
        return []

    def _repeated(self, missed: MissedEvents | None, pause: float) -> list[MissedEvents]:
        """Return a gap that lasts, at most once in *pause* seconds."""
        if missed is None:
            return []
        now, key = self._clock(), (missed.root, missed.cause, missed.path)
        if now < self._repeat_at.get(key, now):
            return []
        self._repeat_at[key] = now + pause
        return [missed]


def _refused(root: Root, mount: Mount, path: bytes, error: OSError) -> MissedEvents:
    if error.errno == errno.ENOSPC:
        detail = "no mark left (fs.fanotify.max_user_marks)"
        return MissedEvents(root.name, Cause.WATCH_LIMIT, detail, path)
    detail = f"{mount.kind} cannot be watched with fanotify: {error.strerror}"
    return MissedEvents(root.name, Cause.DEAD_WATCH, detail, path)
