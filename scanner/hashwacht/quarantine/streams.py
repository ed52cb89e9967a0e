"""The two ends of sealing and of opening: open files, with a digest taken on the way."""

from __future__ import annotations

import hashlib
import os

_PIECE = 1 << 20
"""Bytes read at once.  age asks for 8 KiB at a time, which would be as many system calls."""

_HOLE = 4096
"""What a file system can leave out: a block of zeros."""


class Grown(Exception):
    """The file has become longer than it was when its reading began."""


class Reading:
    """A file from its beginning to *size*, by its descriptor; moves no file offset.

    Raises OSError, and Grown as soon as there is a byte too many: a writer who is faster than we
    are must not keep us reading for ever.
    """

    def __init__(self, fd: int, size: int) -> None:
        """Begin at the beginning."""
        self._fd, self._size, self._at = fd, size, 0
        self._piece, self._used = b"", 0
        self._digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        """Give the next bytes, at most *size*."""
        if self._used == len(self._piece):
            self._piece, self._used = os.pread(self._fd, _PIECE, self._at), 0
            self._at += len(self._piece)
            self._digest.update(self._piece)
            if self._at > self._size:
                raise Grown
        piece = self._piece[self._used : self._used + size]
        self._used += len(piece)
        return piece

    def sha256(self) -> str:
        """Give the digest of all that was read."""
        return self._digest.hexdigest()


class Writing:
    """A new file, written from its beginning.  Raises OSError.

    With *sparse*, blocks of zeros become holes.
    """

    def __init__(self, fd: int, *, sparse: bool = False) -> None:
        """Begin at the beginning of an empty file."""
        self._fd, self._sparse = fd, sparse
        self.size = 0
        self._digest = hashlib.sha256()

    def write(self, piece: bytes) -> int:
        """Write all of it."""
        self._digest.update(piece)
        if self._sparse:
            self._write_sparsely(piece)
        else:
            self._write_at(memoryview(piece), self.size)
        self.size += len(piece)
        return len(piece)

    def finish(self) -> None:
        """Give the file its whole length and flush it to the disk."""
        if self._sparse:
            os.ftruncate(self._fd, self.size)
        os.fsync(self._fd)

    def sha256(self) -> str:
        """Give the digest of all that was written."""
        return self._digest.hexdigest()

    def _write_sparsely(self, piece: bytes) -> None:
        for start in range(0, len(piece), _HOLE):
            block = piece[start : start + _HOLE]
            if block.count(0) != len(block):
                self._write_at(memoryview(block), self.size + start)

    def _write_at(self, piece: memoryview, at: int) -> None:
        while piece:
            written = os.pwrite(self._fd, piece, at)
            piece, at = piece[written:], at + written


def sha256_of(fd: int, size: int) -> str:
    """Read an open file from its beginning to *size*.  Raises OSError, Grown."""
    reading = Reading(fd, size)
    while reading.read(_PIECE):
        pass
    return reading.sha256()
