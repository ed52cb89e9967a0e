"""Comparing what lies below a directory with the state, and announcing what differs.

An unchanged file costs one look at its inode, a directory of them not even a query.  Nothing is
read here: what differs goes into the journal, a portion of a directory at a time.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from operator import itemgetter

from hashwacht.core.errors import Interrupted, UsageError
from hashwacht.core.types import FileId, Outcome
from hashwacht.core.watch_events import Announcement, Lane
from hashwacht.daemon.scanner.roots import WatchedRoot
from hashwacht.daemon.scanner.threads import retry_until
from hashwacht.scan.directory_skipper import vanished_names
from hashwacht.scan.freshness import Freshness
from hashwacht.settings import UndeterminedAction
from hashwacht.storage.files import KnownFile
from hashwacht.storage.store import Store
from hashwacht.storage.unchanged_directories import UnchangedDirectories
from hashwacht.walk.listing import ListedDirectory
from hashwacht.walk.trail import GONE_ERRNOS
from hashwacht.walk.walk import Walker

PROBLEMS = 100
"""Directories that are named one by one if they could not be listed."""

_LOOK = itemgetter(slice(6))
"""Of an Entry: name, device, inode number, size and both times."""


@dataclass(slots=True)
class CompareResult:
    """What a walk came to: files it met, files it announced, directories it could not list.

    *whole* is False if there was nothing to walk: no such directory, or a link in its path.
    """

    files: int = 0
    announced: int = 0
    unlisted: list[tuple[bytes, str]] = field(default_factory=list)
    complete: bool = True


class Comparison:
    """Compares one directory of a root with the state.  ``walk`` once, by one thread."""

    def __init__(
        self,
        store: Store,
        root: WatchedRoot,
        wanted: Freshness,
        *,
        lane: Lane,
        clock: Callable[[], float],
        stop: threading.Event,
        step: Callable[[], None],
    ) -> None:
        """*step* is called after each portion; it may take its time, to let others go first."""
        self._store, self._root, self._wanted, self._lane = store, root, wanted, lane
        self._clock, self._stop, self._step = clock, stop, step
        self._walked = CompareResult()

    def walk(self, path: bytes) -> CompareResult:
        """Walk it all.  Raises Interrupted, OSError if the directory cannot be opened."""
        if os.path.realpath(path) != path:
            self._walked.complete = False
            return self._walked
        walker = Walker(path, self._root.walk_rules, one_file_system=False)
        stretches = self._store.unchanged_directories(self._wanted.verdict_requirement)
        within = False
        try:
            with closing(walker.walk()) as directories:
                for directory in directories:
                    if within or not directory.last or not self._passes(directory, stretches):
                        self._portion(directory)
                    within = not directory.last
                    self._step()
                    if self._stop.is_set():
                        raise Interrupted("the daemon was stopped")
        except UsageError:
            self._walked.complete = False
        except OSError as error:
            if error.errno not in GONE_ERRNOS:
                raise
            self._walked.complete = False
        return self._walked

    def _passes(self, directory: ListedDirectory, stretches: UnchangedDirectories) -> bool:
        """Say if a whole directory is as it was, with nothing to ask and nothing to tell."""
        if directory.problems:
            return False
        if stretches.unchanged(directory.path, map(_LOOK, directory.files)) is None:
            return False
        self._walked.files += len(directory.files)
        return True

    def _portion(self, directory: ListedDirectory) -> None:
        """Compare some files of a directory one by one."""
        for problem in directory.problems:
            if problem.skip_reason.loses_files and len(self._walked.unlisted) < PROBLEMS:
                where = os.path.join(directory.path, problem.name)  # noqa: PTH118  # bytes
                self._walked.unlisted.append((where.rstrip(b"/"), problem.detail))
        names = [entry.name for entry in directory.files]
        known = self._store.files.load_directory(directory.path, names)
        prefix = directory.path.rstrip(b"/") + b"/"
        differing = [
            Announcement(self._root.name, prefix + entry.name)
            for entry in directory.files
            if not self._is_done(known.get(entry.name), entry.id)
        ]
        gone = vanished_names(self._store.files, directory)
        self._walked.files += len(names)
        self._walked.announced += len(differing)
        if differing or gone:
            retry_until(lambda: self._write(directory.path, differing, gone), self._stop)

    def _is_done(self, known: KnownFile | None, file: FileId) -> bool:
        """Say if a file is as it was, and all that follows from its verdict was done.

        What lacks an answer is asked without the file; but it may have to be held meanwhile.
        """
        if known is None or not self._wanted.is_reusable(known, file) or known.knowledge_id is None:
            return False
        if known.outcome is Outcome.UNDETERMINED:
            return self._root.settings.on_undetermined is not UndeterminedAction.HOLD
        return known.outcome is Outcome.NO_MATCH

    def _write(self, path: bytes, differing: list[Announcement], gone: list[bytes]) -> None:
        with self._store.transaction():
            self._store.journal.record(differing, self._lane, self._clock())
            self._store.files.remove(path, gone)
