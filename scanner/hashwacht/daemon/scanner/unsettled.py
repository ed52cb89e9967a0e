"""Files that may change after they were read without an event, and when they are looked at again.

* A process has the file open for writing, or mapped: it is read again until that has ended.
* The file has a hard link outside the roots, where no write is announced: its times are compared
  until it has none.
* A hard link outside may be created after the file was read: see :mod:`.second_looks`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress

from hashwacht.core.watch_events import Announcement, Lane
from hashwacht.daemon.scanner.dispatcher import MAX_REST, JournaledFile
from hashwacht.daemon.scanner.roots import Roots
from hashwacht.engine.read import FileContent, FileVanished
from hashwacht.platform.backoff import Backoff
from hashwacht.settings import DaemonSettings
from hashwacht.storage.store import Store

FIRST_REREAD = 1.0
"""Seconds until an unsettled file is looked at again for the first time."""

REST_FACTOR = 10
"""After a file was read, wait that many times as long as it took: a tenth of the time is spent on
files that are always open, however large they are."""

MAX_LINKS = 64
"""Hard links that are looked up; a file with more counts as having one outside the roots."""


class UnsettledFiles:
    """Decides which files are unsettled.  Thread-safe."""

    def __init__(self, store: Store, settings: Callable[[], DaemonSettings]) -> None:
        self._store, self._settings = store, settings

    def reread_at(
        self, content: FileContent[JournaledFile], roots: Roots, now: float
    ) -> float | None:
        """Return the Unix time at which a file is looked at again; None if it is settled."""
        if not content.unsettled and not self._has_outside_link(content, roots):
            return None
        entry = content.file.entry
        attempts = entry.attempts if entry.lane is Lane.UNSETTLED else 0
        delay = Backoff(FIRST_REREAD, self._settings().max_settle_time).delay(attempts + 1)
        return now + min(MAX_REST, max(delay, REST_FACTOR * content.seconds))

    def _has_outside_link(self, content: FileContent[JournaledFile], roots: Roots) -> bool:
        if content.nlink == 1:
            return False
        dev, ino = content.id.dev, content.id.ino
        paths = {content.file.entry.path, *self._store.files.load_links(dev, ino, MAX_LINKS)}
        watched = [path for path in paths if roots.scanned_root(path) is not None]
        return sum(_is_file(path, dev, ino) for path in watched) < content.nlink


def other_names(
    store: Store,
    results: Iterable[FileContent[JournaledFile] | FileVanished[JournaledFile]],
) -> list[Announcement]:
    """Return announcements of further names of files that have changed or lost a name.

    A write is announced under one name only, which may be gone when it is looked at.
    """
    announcements: dict[bytes, Announcement] = {}
    for result in results:
        file, linked, state = result.file, True, None
        if isinstance(result, FileContent):
            linked, state = result.nlink > 1, result.id
        identity = state or (file.known.id if file.known else None)
        if identity is None or not linked:
            continue
        links = store.files.load_links(identity.dev, identity.ino, MAX_LINKS)
        for path, known in links.items():
            if path != file.entry.path and known != state:
                announcements[path] = Announcement(file.root, path, account=file.entry.account)
    return list(announcements.values())


def _is_file(path: bytes, dev: int, ino: int) -> bool:
    with suppress(OSError):
        status = os.lstat(path)
        return (status.st_dev, status.st_ino) == (dev, ino)
    return False
