"""The one sequential read: feeds every digest, keeps the bytes of what may be a picture.

The bytes of one picture file, as decoders want them: a small one in memory, a large one not.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from hashwacht.hashing.page_cache import CacheNeutralReader

_IN_MEMORY = 1 << 20
"""Bytes up to which one read is cheaper than a decoder's many; more would only fill memory."""


class EncodedPicture:
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


CHUNK = 1 << 20
"""Bytes read at once: most pictures in one call."""

HEAD = 64 << 10
"""Bytes of the beginning that decide what kind of thing it is."""

TAIL = 1024
"""Bytes of the end that are kept for sniffing."""


class ByteSink(Protocol):
    """What wants every byte, in order."""

    def update(self, chunk: bytes, /) -> None:
        """Take the next bytes."""


@dataclass(frozen=True, slots=True)
class ContentInfo:
    """What one read found out.  *original* is None unless all bytes were worth keeping."""

    key: str
    size: int
    head: bytes
    tail: bytes
    original: EncodedPicture | None


class ContentDigester:
    """One content on its way through the digests, in order, without keeping it."""

    def __init__(self, running: Iterable[ByteSink]) -> None:
        """Feed *running* and what becomes the key."""
        self._key = hashlib.sha256(usedforsecurity=False)
        self._fed: tuple[ByteSink, ...] = (self._key, *running)
        self._tail = b""
        self.head = b""
        self.size = 0

    def update(self, chunk: bytes) -> None:
        """Take the next bytes."""
        if len(self.head) < HEAD:
            self.head += chunk[: HEAD - len(self.head)]
        for each in self._fed:
            each.update(chunk)
        self.size += len(chunk)
        self._tail = chunk[-TAIL:] if len(chunk) >= TAIL else (self._tail + chunk)[-TAIL:]

    def content(self, original: EncodedPicture | None = None) -> ContentInfo:
        """Say what was found out so far."""
        return ContentInfo(self._key.hexdigest(), self.size, self.head, self._tail, original)


def read(
    fd: int, running: Iterable[ByteSink], *, keep: Callable[[bytes], bool], at_most: int
) -> ContentInfo:
    """Read *fd* to its end.  Raises OSError if the file system refuses.

    *keep* decides from the first chunk if the bytes are wanted; beyond *at_most* bytes they are
    let go, while the digests go on.
    """
    reading = ContentDigester(running)
    kept: list[bytes] | None = None
    with CacheNeutralReader(fd) as reader:
        while chunk := reader.read(CHUNK):
            if not reading.size:
                kept = [] if keep(chunk) else None
            reading.update(chunk)
            if kept is not None:
                kept = [*kept, chunk] if reading.size <= at_most else None
    original = None if kept is None else (kept[0] if len(kept) == 1 else b"".join(kept))
    return reading.content(None if original is None else EncodedPicture(original))
