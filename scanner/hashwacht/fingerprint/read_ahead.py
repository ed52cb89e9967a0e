"""The digests of a content that is still coming in, taken behind its writer.

Digests need no sandbox: nothing is decoded, and the code is the standard library's.  So what is
no picture costs its digests and nothing else; a picture goes to its worker when it is complete.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from threading import Lock

from hashwacht.fingerprint.parts import Digesting
from hashwacht.fingerprint.reading import CHUNK, Reading
from hashwacht.types import Fingerprint

Look = Callable[[Fingerprint, int], Fingerprint]
"""Adds what is seen in an open file to its digests."""


class ReadAhead:
    """One content in a file that only grows and that nobody else can write to.  Thread-safe."""

    def __init__(self, digesting: Digesting, recipe: tuple[str, ...], look: Look) -> None:
        """Read for *digesting*; *recipe* is all that is attempted, *look* included."""
        self._digesting, self._recipe, self._look = digesting, recipe, look
        self._running = digesting.begin()
        self._reading = Reading(self._running.values())
        self._lock = Lock()

    def read_on(self, fd: int) -> None:
        """Read what has been written since, except an incomplete chunk.  Raises OSError."""
        with self._lock:
            while len(chunk := os.pread(fd, CHUNK, self._reading.size)) == CHUNK:
                self._reading.take(chunk)

    def fingerprint(self, fd: int) -> Fingerprint:
        """Read the rest, and have it looked at if it may be a picture.

        That goes through a descriptor open for reading only.  Raises OSError, WorkerError.
        """
        self.read_on(fd)
        with self._lock:
            while chunk := os.pread(fd, CHUNK, self._reading.size):
                self._reading.take(chunk)
        content = self._reading.content()
        look = self._digesting.to_be_looked_at(content.head, content.size)
        made = self._digesting.made(content, self._running, looked_at=look)
        digests = replace(made, recipe=self._recipe)
        if not look:
            return digests
        copy = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return self._look(digests, copy)
        finally:
            os.close(copy)
