"""The one sequential read: feeds every digest, keeps the bytes of what may be a picture."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from hashwacht.hashing.original import Original
from hashwacht.hashing.page_cache import QuietReader

CHUNK = 1 << 20
"""Bytes read at once: most pictures in one call."""

HEAD = 64 << 10
"""Bytes of the beginning that decide what kind of thing it is."""

TAIL = 1024
"""Bytes of the end that are kept for sniffing."""


class Fed(Protocol):
    """What wants every byte, in order."""

    def update(self, chunk: bytes, /) -> None:
        """Take the next bytes."""


@dataclass(frozen=True, slots=True)
class Content:
    """What one read found out.  *original* is None unless all bytes were worth keeping."""

    key: str
    size: int
    head: bytes
    tail: bytes
    original: Original | None


class Reading:
    """One content on its way through the digests, in order, without keeping it."""

    def __init__(self, running: Iterable[Fed]) -> None:
        """Feed *running* and what becomes the key."""
        self._key = hashlib.sha256(usedforsecurity=False)
        self._fed: tuple[Fed, ...] = (self._key, *running)
        self._tail = b""
        self.head = b""
        self.size = 0

    def take(self, chunk: bytes) -> None:
        """Take the next bytes."""
        if len(self.head) < HEAD:
            self.head += chunk[: HEAD - len(self.head)]
        for each in self._fed:
            each.update(chunk)
        self.size += len(chunk)
        self._tail = chunk[-TAIL:] if len(chunk) >= TAIL else (self._tail + chunk)[-TAIL:]

    def content(self, original: Original | None = None) -> Content:
        """Say what was found out so far."""
        return Content(self._key.hexdigest(), self.size, self.head, self._tail, original)


def read(
    fd: int, running: Iterable[Fed], *, keep: Callable[[bytes], bool], at_most: int
) -> Content:
    """Read *fd* to its end.  Raises OSError if the file system refuses.

    *keep* decides from the first chunk if the bytes are wanted; beyond *at_most* bytes they are
    let go, while the digests go on.
    """
    reading = Reading(running)
    kept: list[bytes] | None = None
    with QuietReader(fd) as reader:
        while chunk := reader.read(CHUNK):
            if not reading.size:
                kept = [] if keep(chunk) else None
            reading.take(chunk)
            if kept is not None:
                kept = [*kept, chunk] if reading.size <= at_most else None
    original = None if kept is None else (kept[0] if len(kept) == 1 else b"".join(kept))
    return reading.content(None if original is None else Original(original))
