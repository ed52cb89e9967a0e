"""One content as it comes in, chunk by chunk: spooled, and read behind its writer.

The file is unlinked before anything is in it, so it ends with its descriptor, whatever becomes
of this process.  While more comes in, a thread reads what is there already, if the workplace can:
when the last chunk is written, most of the work is done.
"""

from __future__ import annotations

import os
import tempfile
import threading
from concurrent.futures import Future
from typing import IO, Self

from hashwacht.ports import Ahead
from hashwacht.shift import Shift
from hashwacht.uploads import Circumstances
from hashwacht.workplace import Checked, Workplace, WorksAhead

STRIDE = 1 << 20
"""Bytes written before somebody reads them: a thread is woken once for each."""


class Incoming:
    """``write`` what comes, ``finish`` for the verdict, ``close`` on every path.

    To be used by one thread at a time.
    """

    def __init__(self, shift: Shift, spool: str | os.PathLike[str] | None) -> None:
        """Have *shift* do the work; the file is made, in the directory *spool*, when needed."""
        self._shift, self._directory = shift, spool
        self._file: IO[bytes] | None = None
        self._following: Future[None] | None = None
        self._asked = 0
        self._turn = threading.Lock()
        self._ahead: Ahead | None = None
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Take the next bytes.  Raises OSError if there is no room."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0, dir=self._directory)  # noqa: SIM115  # closed by close()
        rest = memoryview(chunk)
        while rest:
            rest = rest[self._file.write(rest) :]
        self.size += len(chunk)
        if self.size - self._asked >= STRIDE and (not self._following or self._following.done()):
            self._asked = self.size
            fd = os.dup(self._file.fileno())
            self._following = self._shift.follow(fd, lambda place: self._follow(place, fd))

    def finish(self, told: Circumstances | None = None) -> Future[Checked]:
        """Say that this was all; the future gives the verdict, after ``close`` as well.

        To cancel it takes back what has not begun.  Raises OSError if there is no descriptor
        left.
        """
        self.write(b"")
        assert self._file is not None
        if self._following is not None:
            self._following.cancel()
        fd = os.dup(self._file.fileno())
        return self._shift.submit(fd, lambda place: self._complete(place, fd, told))

    def close(self) -> None:
        """Let the file go.  Any number of calls."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _follow(self, place: Workplace, fd: int) -> None:
        """Read what is there; in a thread of the shift."""
        with self._turn:
            if self._ahead is None and isinstance(place, WorksAhead):
                self._ahead = place.read_ahead()
            if self._ahead is not None:
                self._ahead.read_on(fd)

    def _complete(self, place: Workplace, fd: int, told: Circumstances | None) -> Checked:
        with self._turn:
            if self._ahead is not None and isinstance(place, WorksAhead):
                return place.complete(fd, told, self._ahead)
            return place.check(fd, told, private=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
