"""Hashing a content while it is still arriving.

Digests need no sandbox: nothing is decoded, and the code is the standard library's.  A content
that is no picture therefore costs its digests only and no copy; a picture goes to a worker when it
is complete.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

from hashwacht.core.types import Fingerprint
from hashwacht.hashing.reader import HEAD, ContentDigester
from hashwacht.hashing.workers.tasks import DigestTask
from hashwacht.platform.safe_open import reopen_read_only

PictureStep = Callable[[Fingerprint, int], Fingerprint]
"""Adds the picture hashes of an open file to the digests."""


class PoolStreamHasher:
    """A ``StreamHasher`` for one content.  For one thread at a time."""

    def __init__(self, task: DigestTask, recipe: tuple[str, ...], decode: PictureStep) -> None:
        """Digest as *task* does; *recipe* is everything that is attempted, *decode* included."""
        self._task, self._recipe, self._decode = task, recipe, decode
        self._running = task.begin()
        self._digester = ContentDigester(self._running.values())
        self._picture: bool | None = None

    def update(self, chunk: bytes) -> bool | None:
        """Hash the next bytes; return whether to keep all bytes so far, None if not known yet."""
        self._digester.update(chunk)
        if self._picture is None and len(self._digester.head) == HEAD:
            self._picture = self._needs_decoding()
        elif self._picture and self._digester.size > self._task.max_picture_bytes:
            self._picture = False
        return self._picture

    def finish(self) -> bool:
        """End the content; return whether to keep its bytes until ``fingerprint`` returns."""
        if self._picture is None:
            self._picture = self._needs_decoding()
        return self._picture

    def fingerprint(self, kept: int | None) -> Fingerprint:
        """Return the fingerprint; *kept* is the open file if ``finish`` returned True.

        The worker gets *kept* for reading only.  Raises OSError, WorkerError.
        """
        content = self._digester.content()
        picture = self.finish()
        built = self._task.build_fingerprint(content, self._running, decoding=picture)
        digests = replace(built, recipe=self._recipe)
        if not picture:
            return digests
        assert kept is not None
        copy = reopen_read_only(kept)
        try:
            return self._decode(digests, copy)
        finally:
            os.close(copy)

    def _needs_decoding(self) -> bool:
        return self._task.needs_decoding(self._digester.head, self._digester.size)
