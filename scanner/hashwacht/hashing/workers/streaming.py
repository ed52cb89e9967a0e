"""A content that is still coming in: digested on the way, kept only if somebody is to look at it.

Digests need no sandbox: nothing is decoded, and the code is the standard library's.  So what is
no picture costs its digests and nothing else; a picture goes to its worker when it is complete.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

from hashwacht.core.types import Fingerprint
from hashwacht.hashing.reader import HEAD, ContentDigester
from hashwacht.hashing.workers.tasks import DigestTask

PictureStep = Callable[[Fingerprint, int], Fingerprint]
"""Adds what is seen in an open file to its digests."""


class PoolStreamHasher:
    """One content.  For one thread at a time."""

    def __init__(self, digesting: DigestTask, recipe: tuple[str, ...], look: PictureStep) -> None:
        """Digest as *digesting* does; *recipe* is all that is attempted, *look* included."""
        self._digesting, self._recipe, self._look = digesting, recipe, look
        self._running = digesting.begin()
        self._reading = ContentDigester(self._running.values())
        self._picture: bool | None = None

    def update(self, chunk: bytes) -> bool | None:
        """Take the next bytes; say if all bytes so far are to be kept, None: not known yet."""
        self._reading.update(chunk)
        if self._picture is None and len(self._reading.head) == HEAD:
            self._picture = self._looked_at()
        elif self._picture and self._reading.size > self._digesting.max_picture_bytes:
            self._picture = False
        return self._picture

    def finish(self) -> bool:
        """Say that this was all; tell if it is to be kept until there is a fingerprint."""
        if self._picture is None:
            self._picture = self._looked_at()
        return self._picture

    def fingerprint(self, kept: int | None) -> Fingerprint:
        """Give it; what is *kept* (an open file) is looked at, read-only, if it was wanted.

        Raises OSError, WorkerError.
        """
        content = self._reading.content()
        look = self.finish()
        made = self._digesting.build_fingerprint(content, self._running, looked_at=look)
        digests = replace(made, recipe=self._recipe)
        if not look:
            return digests
        assert kept is not None
        copy = os.open(f"/proc/self/fd/{kept}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return self._look(digests, copy)
        finally:
            os.close(copy)

    def _looked_at(self) -> bool:
        return self._digesting.needs_decoding(self._reading.head, self._reading.size)
