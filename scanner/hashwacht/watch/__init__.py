"""Watching roots: inotify and fanotify behind one interface, canaries, and the queue of events."""

from __future__ import annotations

from pathlib import Path

from hashwacht.core.watch_events import Watch
from hashwacht.settings.daemon import WatchKind


def build_watch(kind: WatchKind, socket_path: Path) -> Watch:
    """Return the Watch of this kind; *socket_path* is that of the watcher, for fanotify."""
    match kind:
        case WatchKind.FANOTIFY:
            from hashwacht.watch.fanotify_client import FanotifyWatch

            return FanotifyWatch(socket_path)
        case WatchKind.INOTIFY:
            from hashwacht.watch.inotify import InotifyWatch

            return InotifyWatch()
