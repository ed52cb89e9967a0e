"""Which Watch it is to be."""

from __future__ import annotations

from pathlib import Path

from hashwacht.core.watch_events import Watch
from hashwacht.settings.daemon import WatchKind


def build_watch(kind: WatchKind, socket_path: Path) -> Watch:
    """Make the Watch of this kind; *socket_path* is the watcher's, for fanotify."""
    match kind:
        case WatchKind.FANOTIFY:
            from hashwacht.watch.fanotify_client import FanotifyWatch

            return FanotifyWatch(socket_path)
        case WatchKind.INOTIFY:
            from hashwacht.watch.inotify import InotifyWatch

            return InotifyWatch()
