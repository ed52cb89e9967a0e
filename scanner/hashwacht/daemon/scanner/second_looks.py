"""Comparing the times of uploaded files again after they were read.

With inotify a write through a hard link outside the roots causes no event, and the link may be
created after the file was read.  What happens after the last look is found by the next comparison
of the root.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial

from hashwacht.core.types import FileId
from hashwacht.core.watch_events import Announcement, Lane, account_directory
from hashwacht.daemon.scanner.dispatcher import JournaledFile
from hashwacht.daemon.scanner.runtime import RuntimeHandle
from hashwacht.daemon.scanner.threads import retry_until
from hashwacht.engine.read import FileContent
from hashwacht.platform.filesystems.mounts import Mounts
from hashwacht.storage.store import Store

TICK = 1.0
"""Seconds between two rounds."""

LOOKS = (2.0, 8.0, 32.0, 128.0, 512.0, 2048.0)
"""Seconds after the reading of an uploaded file at which its times are compared again."""

MAX_LOOKS = 10_000
"""Files that are remembered for each of these times, 400 bytes each; the oldest are dropped."""


@dataclass(frozen=True, slots=True)
class _Look:
    due: float
    path: bytes
    id: FileId


class SecondLooks:
    """Compares the times of uploaded files some times after they were read.  Thread-safe."""

    def __init__(
        self,
        store: Store,
        runtime: RuntimeHandle,
        stop: threading.Event,
        on_work: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """*on_work* is called when the journal has new entries."""
        self._store, self._runtime, self._stop = store, runtime, stop
        self._on_work, self._clock = on_work, clock
        self._stages = [deque[_Look](maxlen=MAX_LOOKS) for _ in LOOKS]

    def add(self, contents: Iterable[FileContent[JournaledFile]]) -> None:
        """Look at these files again, which were read now and are settled."""
        due = time.monotonic() + LOOKS[0]
        self._stages[0].extend(
            _Look(due, content.file.entry.path, content.id)
            for content in contents
            if content.file.entry.lane is Lane.UPLOAD and content.reread_at is None
        )

    def run(self) -> None:
        """Look until the stop."""
        with closing(Mounts()) as mounts:
            while not self._stop.wait(TICK):
                mounts.refresh()
                changed = [look for n in range(len(LOOKS)) for look in self._take(n, mounts)]
                if changed:
                    retry_until(partial(self._announce, changed), self._stop)
                    self._on_work()

    def _take(self, stage: int, mounts: Mounts) -> list[_Look]:
        """Return the changed ones of those that are due; pass on the others to the next stage.

        Files on network file systems are dropped: an lstat(2) there may hang, and their roots are
        compared anyway.
        """
        changed, now, looks = [], time.monotonic(), self._stages[stage]
        while looks and looks[0].due <= now:
            look = looks.popleft()
            if (mount := mounts.find(look.path)) is not None and mount.remote:
                continue
            with suppress(OSError):
                if FileId.from_stat(os.lstat(look.path)) != look.id:
                    changed.append(look)
                elif stage + 1 < len(LOOKS):
                    due = now + LOOKS[stage + 1] - LOOKS[stage]
                    self._stages[stage + 1].append(replace(look, due=due))
        return changed

    def _announce(self, changed: list[_Look]) -> None:
        roots = self._runtime.current.roots
        announcements = [
            Announcement(root.name, look.path, account=account_directory(root.path, look.path))
            for look in changed
            if (root := roots.scanned_root(look.path)) is not None
        ]
        self._store.journal.record(announcements, Lane.UPLOAD, self._clock())
