"""The one sequential read of a content: feeds every digest, keeps what may be a picture."""

from __future__ import annotations

import errno
import hashlib
import io
import math
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from hashwacht.hashing.page_cache import CacheNeutralReader
from hashwacht.platform.safe_open import FileChanged

CHUNK = 1 << 20
"""Bytes per read: most pictures need one call."""

HEAD = 64 << 10
"""First bytes that are kept; they decide the kind of a content."""

TAIL = 1024
"""Last bytes that are kept for sniffing."""

_MAX_IN_MEMORY = 1 << 20
"""Bytes up to which one read is cheaper than a decoder's many; more would only fill memory."""


class EncodedPicture:
    """The bytes of a picture file: in memory, or in an open file that does not change."""

    def __init__(self, source: bytes | int) -> None:
        """*source*: the bytes, or a descriptor at offset 0, which the caller closes."""
        small = isinstance(source, int) and os.fstat(source).st_size <= _MAX_IN_MEMORY
        self._source = os.pread(source, _MAX_IN_MEMORY, 0) if small else source  # type: ignore[arg-type]  # small only if a number

    def read(self, most: int | None = None) -> bytes:
        """Return the first *most* bytes, or all."""
        if isinstance(self._source, bytes):
            return self._source[:most]
        return os.pread(self._source, os.fstat(self._source).st_size if most is None else most, 0)

    def last(self, most: int) -> bytes:
        """Return the last *most* bytes."""
        if isinstance(self._source, bytes):
            return self._source[-most:]
        return os.pread(self._source, most, max(0, os.fstat(self._source).st_size - most))

    def open(self) -> BinaryIO:
        """Return a file object at the first byte; for a descriptor one at a time, they share it."""
        if isinstance(self._source, bytes):
            return io.BytesIO(self._source)
        os.lseek(self._source, 0, os.SEEK_SET)
        return io.BufferedReader(io.FileIO(self._source, closefd=False))


class ByteSink(Protocol):
    """Receives every byte, in order."""

    def update(self, chunk: bytes, /) -> None:
        """Process the next bytes."""


@dataclass(frozen=True, slots=True)
class ContentInfo:
    """The result of one read.  *original* is None unless all bytes were worth keeping."""

    key: str
    size: int
    head: bytes
    tail: bytes
    original: EncodedPicture | None


class ContentDigester:
    """Passes the bytes of one content to sinks, without keeping them."""

    def __init__(self, sinks: Iterable[ByteSink]) -> None:
        self._key = hashlib.sha256(usedforsecurity=False)
        self._sinks: tuple[ByteSink, ...] = (self._key, *sinks)
        self._tail = b""
        self.head = b""
        self.size = 0

    def update(self, chunk: bytes) -> None:
        """Process the next bytes."""
        if len(self.head) < HEAD:
            self.head += chunk[: HEAD - len(self.head)]
        for sink in self._sinks:
            sink.update(chunk)
        self.size += len(chunk)
        self._tail = chunk[-TAIL:] if len(chunk) >= TAIL else (self._tail + chunk)[-TAIL:]

    def content(self, original: EncodedPicture | None = None) -> ContentInfo:
        """Return what is known of the bytes so far."""
        return ContentInfo(self._key.hexdigest(), self.size, self.head, self._tail, original)


_ZEROS = bytes(CHUNK)


class SparseReader:
    """Reads an open file to its end and skips its holes: their zeros come from memory."""

    def __init__(self, fd: int, reader: CacheNeutralReader) -> None:
        self._fd, self._reader = fd, reader
        self._offset = os.lseek(fd, 0, os.SEEK_CUR)
        self._data_end = self._hole_end = self._offset

    def read(self) -> bytes:
        """Return the next bytes, at most CHUNK; nothing at the end."""
        if self._offset >= self._data_end and self._offset >= self._hole_end:
            self._look_ahead()
        if self._offset < self._hole_end:
            chunk = _ZEROS[: min(CHUNK, self._hole_end - self._offset)]
            self._reader.seek(self._offset + len(chunk))
        else:
            chunk = self._reader.read(min(CHUNK, max(1, self._data_end - self._offset)))
        self._offset += len(chunk)
        return chunk

    def _look_ahead(self) -> None:
        """Find the end of the data or of the hole at the offset (lseek(2), SEEK_DATA)."""
        here = self._offset
        try:
            data = os.lseek(self._fd, here, os.SEEK_DATA)
            if data > here:
                self._hole_end = data
            else:
                self._data_end = os.lseek(self._fd, here, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole up to the end, if there is one
                self._hole_end = max(here, os.fstat(self._fd).st_size)
            if self._hole_end <= here:  # the end, or a file system that does not know holes
                self._data_end = here + CHUNK
        finally:
            os.lseek(self._fd, here, os.SEEK_SET)


def read(
    fd: int, sinks: Iterable[ByteSink], *, keep: Callable[[bytes], bool], at_most: int
) -> ContentInfo:
    """Read *fd* to its end.  Raises OSError if the file system refuses.

    Raises FileChanged for a file with more bytes than its size: it grows, or has no end, as files
    of /proc have whose size is 0.

    *keep* decides from the first chunk whether to keep the bytes; beyond *at_most* bytes they are
    dropped, while the digests continue.
    """
    digester, size = ContentDigester(sinks), _announced_size(fd)
    kept: list[bytes] | None = None
    with CacheNeutralReader(fd) as reader:
        sparse = SparseReader(fd, reader) if _may_have_holes(fd) else None
        while chunk := sparse.read() if sparse else reader.read(CHUNK):
            if not digester.size:
                kept = [] if keep(chunk) else None
            digester.update(chunk)
            if digester.size > size:
                raise FileChanged("it has more bytes than its size says")
            if kept is not None:
                kept = [*kept, chunk] if digester.size <= at_most else None
    if kept is None:
        return digester.content()
    return digester.content(EncodedPicture(kept[0] if len(kept) == 1 else b"".join(kept)))


def _announced_size(fd: int) -> float:
    """Return the size of a regular file; other files have none."""
    status = os.fstat(fd)
    return status.st_size if stat.S_ISREG(status.st_mode) else math.inf


def _may_have_holes(fd: int) -> bool:
    """Return whether a file of more than one chunk occupies fewer blocks than it has bytes."""
    status = os.fstat(fd)
    return status.st_size > CHUNK and status.st_blocks * 512 < status.st_size
