"""One content as it comes in, chunk by chunk: digested on the way, spooled if it may be a picture.

The file is unlinked before anything is in it, so it ends with its descriptor, whatever becomes
of this process.  In memory is at most the beginning that decides whether there is to be a file:
64 KiB, and what came with it.
"""

from __future__ import annotations

import os
import tempfile
from concurrent.futures import Future
from typing import IO, Self

from hashwacht.core.upload_context import UploadContext
from hashwacht.uploads.backend import CheckBackend, CheckResult, StreamingBackend
from hashwacht.uploads.executor import CheckExecutor


class UploadStream:
    """``write`` what comes, ``finish`` for the verdict, ``close`` on every path.

    For one thread at a time.
    """

    def __init__(self, shift: CheckExecutor, spool: str | os.PathLike[str] | None) -> None:
        """Have *shift* do the work; a file is made, in the directory *spool*, when needed."""
        self._shift, self._directory = shift, spool
        self._ahead = shift.open_stream()
        self._undecided: list[bytes] = []
        self._file: IO[bytes] | None = None
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Take the next bytes.  Raises OSError if there is no room."""
        self.size += len(chunk)
        self._keep(chunk, keep=True if self._ahead is None else self._ahead.update(chunk))

    def _keep(self, chunk: bytes, *, keep: bool | None) -> None:
        """Write what is to be kept; hold what may be."""
        if keep is None:
            self._undecided.append(chunk)
            return
        undecided, self._undecided = self._undecided, []
        if keep:
            for each in (*undecided, chunk):
                self._spool(each)
        elif self._file is not None:
            self.close()

    def _spool(self, chunk: bytes) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0, dir=self._directory)  # noqa: SIM115  # closed by close()
        rest = memoryview(chunk)
        while rest:
            rest = rest[self._file.write(rest) :]

    def finish(self, context: UploadContext | None = None) -> Future[CheckResult]:
        """Say that this was all; the future gives the verdict, after ``close`` as well.

        To cancel it takes back what has not begun.  Raises OSError if there is no room or no
        descriptor left.
        """
        ahead = self._ahead
        self._keep(b"", keep=True if ahead is None else ahead.finish())
        fd = None if self._file is None else os.dup(self._file.fileno())
        if ahead is None:
            assert fd is not None
            return self._shift.submit(fd, lambda place: place.check(fd, context, private=True))

        def check_stream(place: CheckBackend) -> CheckResult:
            assert isinstance(place, StreamingBackend)  # it has begun
            return place.check_stream(ahead, fd, context)

        return self._shift.submit(fd, check_stream)

    def close(self) -> None:
        """Let the file go.  Any number of calls."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
