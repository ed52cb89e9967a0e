"""The one sequential read: feeds every digest, keeps the bytes of what may be a picture."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from hashwacht.fingerprint.page_cache import QuietReader

CHUNK = 1 << 20
"""Bytes read at once: most pictures in one call."""

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
    original: bytes | None


def read(
    fd: int, running: Iterable[Fed], *, keep: Callable[[bytes], bool], at_most: int
) -> Content:
    """Read *fd* to its end.  Raises OSError if the file system refuses.

    *keep* decides from the first chunk if the bytes are wanted; beyond *at_most* bytes they are
    let go, while the digests go on.
    """
    key = hashlib.sha256(usedforsecurity=False)
    fed: tuple[Fed, ...] = (key, *running)
    head = tail = b""
    size = 0
    kept: list[bytes] | None = None
    with QuietReader(fd) as reader:
        while chunk := reader.read(CHUNK):
            if not size:
                head = chunk
                kept = [] if keep(chunk) else None
            for each in fed:
                each.update(chunk)
            size += len(chunk)
            tail = (tail + chunk[-TAIL:])[-TAIL:]
            if kept is not None:
                kept = [*kept, chunk] if size <= at_most else None
    original = None if kept is None else (kept[0] if len(kept) == 1 else b"".join(kept))
    return Content(key.hexdigest(), size, head, tail, original)
