"""Passing over whole directories in which nothing has changed: most of what a later scan meets.

What is still there, although this run has not listed it: it was excluded, not removed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from operator import attrgetter, itemgetter

from hashwacht.core.types import Outcome
from hashwacht.scan.messages import DirectoriesUnchanged
from hashwacht.scan.tally import Tally
from hashwacht.storage.files import Files
from hashwacht.storage.unchanged_directories import UnchangedDirectories
from hashwacht.walk.listing import ListedDirectory


@dataclass(frozen=True, slots=True)
class StillThere:
    """A container of names in the directory open as *directory*, or of absolute paths.

    *listed* are in it without a look; of everything else the file system is asked.  What the
    file system will not say counts as present: only what is certainly gone may be forgotten.
    """

    listed: Collection[bytes] = ()
    directory: int | None = None

    def __contains__(self, name: object) -> bool:
        assert isinstance(name, bytes)
        if name in self.listed:
            return True
        try:
            os.stat(name, dir_fd=self.directory, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True
        return True


def vanished_names(files: Files, directory: ListedDirectory) -> list[bytes]:
    """Name what the state knows in a directory and what is there no more.

    Nothing until its last portion, and nothing if it could not be listed.
    """
    unlisted = any(not problem.name for problem in directory.problems)
    if not directory.last or directory.handle is None or unlisted:
        return []
    listed = {entry.name for entry in directory.files}
    return files.missing_names(directory.path, StillThere(listed, directory.handle.fd))


FLUSH_INTERVAL = 0.2
"""Seconds between two messages to the recorder; one for every directory cost more than the look."""

_LOOK = itemgetter(slice(6))
"""Of an Entry: name, device, inode number, size and both times."""
_SIZE = attrgetter("size")


class DirectorySkipper:
    """Counts what is passed over and tells the recorder from time to time.  Used by one thread."""

    def __init__(
        self,
        stretches: UnchangedDirectories,
        put: Callable[[DirectoriesUnchanged], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take what knows the directories, and where to tell."""
        self._stretches, self._put, self._clock = stretches, put, clock
        self._numbers: list[int] = []
        self._files = self._size = self._excluded = 0
        self._path = b""
        self._due = clock() + FLUSH_INTERVAL

    def skip_if_unchanged(self, directory: ListedDirectory) -> bool:
        """Count *directory*, a whole one, and say True if nothing in it has changed."""
        if directory.problems:
            return False
        files = directory.files
        number = self._stretches.unchanged(directory.path, map(_LOOK, files))
        if number is None:
            return False
        self._numbers.append(number)
        self._path = directory.path
        self._files += len(files)
        self._size += sum(map(_SIZE, files))
        self._excluded += directory.excluded
        if self._clock() > self._due:
            self.flush()
        return True

    def flush(self) -> None:
        """Tell the recorder what was passed over since it was last told."""
        if self._numbers:
            files = self._files
            tally = Tally(files=files, size=self._size, unchanged=files, excluded=self._excluded)
            tally.outcomes[Outcome.NO_MATCH] += files
            self._put(DirectoriesUnchanged(tuple(self._numbers), tally, self._path))
        self._numbers = []
        self._files = self._size = self._excluded = 0
        self._due = self._clock() + FLUSH_INTERVAL
