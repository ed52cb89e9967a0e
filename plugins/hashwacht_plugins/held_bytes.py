"""Bytes of a body that wait for a verdict: the first in memory, more in an unlinked file.

The file has no name before it holds anything, so that it ends with its descriptor, whatever happens
to this process.
"""

from __future__ import annotations

import os
import tempfile
from collections import deque
from typing import IO

TAIL = 4096
"""Bytes of the body that are always held back: more than a delimiter and its padding."""

WINDOW = 256 << 10
"""Bytes beyond the end of a file that are read while it waits for its verdict."""

IN_MEMORY = 128 << 10
"""Bytes that are held in memory; what arrives beyond them goes to the file."""

STEP = 128 << 10
"""Bytes that are read back from the file at a time."""


class HeldBytes:
    """A queue of bytes, in the pieces in which they arrived unless they went to the file."""

    def __init__(self, directory: str | None, *, spooled: bool) -> None:
        """Create the file in *directory* (None: the system's) when needed, if *spooled*."""
        self._directory, self._spooled = directory, spooled
        self._pieces: deque[bytes] = deque()
        self._file: IO[bytes] | None = None
        self._read_at = self._write_at = 0
        self.in_memory = 0

    @property
    def size(self) -> int:
        """The number of bytes."""
        return self.in_memory + self._write_at - self._read_at

    def add(self, piece: bytes) -> None:
        """Append *piece*.  Raises OSError if there is no room for the file."""
        if not piece:
            return
        self._pieces.append(piece)
        self.in_memory += len(piece)
        if self._spooled and self.in_memory > IN_MEMORY:
            self._spool()

    def take(self, keep: int) -> bytes:
        """Remove and return the next bytes, leaving at least the last *keep*.

        They are whole pieces, or up to STEP bytes of the file; empty if there are too few.  Raises
        OSError if the file cannot be read.
        """
        if self._read_at < self._write_at:
            return self._take_from_file(self.size - keep)
        pieces = []
        while self._pieces and self.in_memory - len(self._pieces[0]) >= keep:
            pieces.append(self._pieces.popleft())
            self.in_memory -= len(pieces[-1])
        return b"".join(pieces)

    def close(self) -> None:
        """Drop all bytes and release the file.  May be called any number of times."""
        self._pieces.clear()
        self.in_memory = self._read_at = self._write_at = 0
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _spool(self) -> None:
        """Move what is in memory to the end of the file."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0, dir=self._directory)  # noqa: SIM115  # closed by close()
        while self._pieces:
            rest = memoryview(self._pieces.popleft())
            self.in_memory -= len(rest)
            while rest:
                written = os.pwrite(self._file.fileno(), rest, self._write_at)
                self._write_at += written
                rest = rest[written:]

    def _take_from_file(self, available: int) -> bytes:
        assert self._file is not None
        wanted = min(STEP, available, self._write_at - self._read_at)
        if wanted <= 0:
            return b""
        piece = os.pread(self._file.fileno(), wanted, self._read_at)
        if not piece:
            raise OSError(0, "the file of held bytes was truncated")
        self._read_at += len(piece)
        if self._read_at == self._write_at:
            self._file.truncate(0)
            self._read_at = self._write_at = 0
        return piece
