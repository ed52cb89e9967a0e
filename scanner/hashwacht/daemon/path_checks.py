"""Checks files by their path for clients of the gateway: below permitted directories only.

Without care a client could learn by such a request which files exist, and have files read that it
may not read.  So a client that is not root gets an answer about its own files, and those that its
group may read; about all others the reply is the same, whether they exist or not.  No symbolic link
is followed at any component.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from hashwacht.core.errors import HashwachtError
from hashwacht.platform.safe_open import OpenDirectory
from hashwacht.uploads.backend import CheckResult
from hashwacht.uploads.protocol import PathCheckRequest

DENIED = "Access denied."
NOT_SUPPORTED = "Not supported file type"

MAX_FILES, MAX_DEPTH = 10_000, 64
"""Files and directories below one path, and levels of directories, that are looked at."""


@dataclass(frozen=True, slots=True)
class PathResult:
    """One file: its *path* as the client would write it, and its result or the *problem*."""

    path: bytes
    result: CheckResult | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class PathAsker:
    """Who asks: a user and its group, as the kernel reported them to the gateway."""

    uid: int
    gid: int

    def may_read(self, status: os.stat_result) -> bool:
        """Return whether a file or directory is its own, or readable by its group."""
        if self.uid in {0, status.st_uid}:
            return True
        wanted = stat.S_IRGRP | (stat.S_IXGRP if stat.S_ISDIR(status.st_mode) else 0)
        return self.gid == status.st_gid and status.st_mode & wanted == wanted


class PathIncomplete(HashwachtError):
    """Not everything below a path was looked at: there is too much, or no time is left."""


class PathChecks:
    """Finds the files below a path, and has each of them checked.  Used for one request."""

    def __init__(
        self,
        request: PathCheckRequest,
        permitted: Sequence[bytes],
        check: Callable[[int, bytes], CheckResult],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """*permitted* are absolute directories; *check* receives an open file and its path."""
        self._request, self._permitted, self._check = request, permitted, check
        self._asker = PathAsker(request.uid, request.gid)
        self._clock, self._deadline = clock, clock() + request.seconds
        self._count = 0

    def run(self) -> Iterator[PathResult]:
        """Yield a result for each file.  Raises PathIncomplete."""
        path = self._request.path
        names = _names(path)
        if names is None or not any(_is_below(names, directory) for directory in self._permitted):
            yield PathResult(path, problem=DENIED)
            return
        try:
            yield from self._open(b"/" + b"/".join(names[:-1]), names[-1])
        except OSError as error:
            yield PathResult(path, problem=self._problem(error))

    def _problem(self, error: OSError) -> str:
        """Return what root may know of a file that cannot be opened, and nothing for others."""
        if self._asker.uid == 0:
            return f"File path check failure: {error.strerror}."
        return DENIED

    def _open(self, parent: bytes, name: bytes) -> Iterator[PathResult]:
        """Check the file or directory *name*.  Raises OSError, PathIncomplete."""
        path = self._request.path
        with OpenDirectory.at(parent, listable=False) as directory:
            status = os.stat(name, dir_fd=directory.fd, follow_symlinks=False)
            if not self._asker.may_read(status):
                yield PathResult(path, problem=DENIED)
            elif stat.S_ISDIR(status.st_mode):
                with directory.directory(name) as inner:
                    if not self._asker.may_read(os.fstat(inner.fd)):
                        yield PathResult(path, problem=DENIED)
                        return
                    yield from self._walk(inner, path.rstrip(b"/"), 1)
            elif stat.S_ISREG(status.st_mode):
                yield self._file(directory, name, status, path)
            else:
                yield PathResult(path, problem=NOT_SUPPORTED)

    def _walk(self, directory: OpenDirectory, path: bytes, depth: int) -> Iterator[PathResult]:
        """Check all files below a directory.  Raises PathIncomplete; others' files are problems."""
        if depth > MAX_DEPTH:
            raise PathIncomplete("too many levels of directories")
        with os.scandir(directory.fd) as entries:
            for entry in entries:
                name = os.fsencode(entry.name)
                inner_path = path + b"/" + name
                self._count += 1
                if self._count > MAX_FILES or self._clock() > self._deadline:
                    raise PathIncomplete("too many files, or no time left")
                try:
                    yield from self._entry(directory, name, inner_path, depth)
                except OSError as error:
                    yield PathResult(inner_path, problem=self._problem(error))

    def _entry(
        self, directory: OpenDirectory, name: bytes, path: bytes, depth: int
    ) -> Iterator[PathResult]:
        """Check one entry of a directory; what is no file or directory is left out."""
        status = os.stat(name, dir_fd=directory.fd, follow_symlinks=False)
        is_directory = stat.S_ISDIR(status.st_mode)
        if not is_directory and not stat.S_ISREG(status.st_mode):
            return
        if not self._asker.may_read(status):
            yield PathResult(path, problem=DENIED)
        elif is_directory:
            with directory.directory(name) as inner:
                if self._asker.may_read(os.fstat(inner.fd)):
                    yield from self._walk(inner, path, depth + 1)
                else:
                    yield PathResult(path, problem=DENIED)
        else:
            yield self._file(directory, name, status, path)

    def _file(
        self, directory: OpenDirectory, name: bytes, status: os.stat_result, path: bytes
    ) -> PathResult:
        """Check one file, if it is still the one that was looked at.  Raises OSError."""
        try:
            fd = directory.file(name, (status.st_dev, status.st_ino))
        except HashwachtError:
            return PathResult(path, problem=DENIED)
        try:
            return PathResult(path, self._check(fd, path))
        finally:
            os.close(fd)


def _names(path: bytes) -> list[bytes] | None:
    """Return the components of an absolute path, None if it is not one or leads upwards."""
    names = [name for name in path.split(b"/") if name not in {b"", b"."}]
    if not path.startswith(b"/") or b"\0" in path or b".." in names or not names:
        return None
    return names


def _is_below(names: Sequence[bytes], directory: bytes) -> bool:
    """Return whether a path is a directory or below it, by its components."""
    upper = [name for name in directory.split(b"/") if name]
    return list(names[: len(upper)]) == upper
