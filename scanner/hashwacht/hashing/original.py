"""The bytes of one picture file, as decoders want them: a small one in memory, a large one not."""

from __future__ import annotations

import io
import os
from typing import BinaryIO

_IN_MEMORY = 1 << 20
"""Bytes up to which one read is cheaper than a decoder's many; more would only fill memory."""


class Original:
    """Bytes in memory, or in an open file that nobody changes and that is not read from yet."""

    def __init__(self, source: bytes | int) -> None:
        """Take the bytes, or a descriptor, which stays the caller's to close."""
        small = isinstance(source, int) and os.fstat(source).st_size <= _IN_MEMORY
        self._source = os.pread(source, _IN_MEMORY, 0) if small else source  # type: ignore[arg-type]  # small only if a number

    def read(self, most: int | None = None) -> bytes:
        """Give the first *most* bytes, or all."""
        if isinstance(self._source, bytes):
            return self._source[:most]
        return os.pread(self._source, os.fstat(self._source).st_size if most is None else most, 0)

    def last(self, most: int) -> bytes:
        """Give the last *most* bytes."""
        if isinstance(self._source, bytes):
            return self._source[-most:]
        return os.pread(self._source, most, max(0, os.fstat(self._source).st_size - most))

    def open(self) -> BinaryIO:
        """Give it as a file, from its first byte.  Of a descriptor one at a time: it is moved."""
        if isinstance(self._source, bytes):
            return io.BytesIO(self._source)
        os.lseek(self._source, 0, os.SEEK_SET)
        return io.BufferedReader(io.FileIO(self._source, closefd=False))
