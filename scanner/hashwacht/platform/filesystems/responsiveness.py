"""Whether file systems respond: a system call on a dead file server (NFS) returns never or late.

Each directory is examined in a thread of its own.  While that thread hangs, the directory counts as
hanging and no further thread is started for it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress

from hashwacht.platform.filesystems.mounts import Mounts

PATIENCE = 5.0
"""Seconds within which a file system must respond."""

HANGING_RETRY = 10.0
"""Seconds until a file is tried again whose file system does not respond."""


class ResponseProbe:
    """Examines directories, and records which of them hang.  Thread-safe."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._lock = threading.Lock()
        self._unanswered: dict[bytes, threading.Thread] = {}
        self._hanging: dict[bytes, bool] = {}

    def examine(self, directories: Mapping[bytes, Iterable[bytes]]) -> frozenset[bytes]:
        """Return the keys of which a path hangs, and record them for :meth:`is_hanging`.

        Waits for all of them together, and not at all for one that hung before.
        """
        with self._lock:
            asked = {path for paths in directories.values() for path in paths}
            new = {path: self._start(path) for path in asked - self._unanswered.keys()}
            deadline = time.monotonic() + self._patience
            for thread in new.values():
                thread.join(max(0.0, deadline - time.monotonic()))
            threads = (self._unanswered | new).items()
            self._unanswered = {path: thread for path, thread in threads if thread.is_alive()}
            self._hanging |= {
                key: not self._unanswered.keys().isdisjoint(paths)
                for key, paths in directories.items()
            }
            return frozenset(key for key in directories if self._hanging[key])

    def is_hanging(self, path: bytes) -> bool:
        """Return whether the last examination found that *path* may hang.  Touches no file.

        The innermost key that contains it decides.
        """
        while path not in self._hanging:
            above = os.path.split(path)[0]
            if above == path:
                return False
            path = above
        return self._hanging[path]

    @staticmethod
    def _start(path: bytes) -> threading.Thread:
        thread = threading.Thread(target=_examine, args=(path,), name="probe", daemon=True)
        thread.start()
        return thread


def _examine(path: bytes) -> None:
    with suppress(OSError):
        os.lstat(path)
        os.statvfs(path)


RESPONSE_PROBE = ResponseProbe()
"""One for the process; its keys are the paths of roots."""


def examine_roots(roots: Iterable[bytes]) -> frozenset[bytes]:
    """Return the directories on, or with, network file systems that do not respond now."""
    with closing(Mounts()) as mounts:
        remote = {
            root: [
                *([root] if (here := mounts.find(root)) is not None and here.remote else ()),
                *(mount.point for mount in mounts.below(root) if mount.remote),
            ]
            for root in roots
        }
    return RESPONSE_PROBE.examine(remote)


def resolve_roots(roots: Iterable[bytes]) -> dict[bytes, bytes]:
    """Return each path with its symbolic links resolved; as it is if it does not respond now."""
    paths = tuple(roots)
    hanging = examine_roots(paths)
    return {path: path if path in hanging else os.path.realpath(path) for path in paths}
