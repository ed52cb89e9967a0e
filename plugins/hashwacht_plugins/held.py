"""Bytes that have come and may not be passed on yet."""

from __future__ import annotations

from collections import deque


class Held:
    """A queue of bytes in the pieces in which they came, so that they are passed on uncopied."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self.size = 0

    def add(self, piece: bytes) -> None:
        """Take what has come."""
        if piece:
            self._pieces.append(piece)
            self.size += len(piece)

    def take(self, keep: int) -> bytes:
        """Give as much as comes in whole pieces, and leave at least the last *keep* bytes."""
        taken = []
        while self._pieces and self.size - len(self._pieces[0]) >= keep:
            taken.append(self._pieces.popleft())
            self.size -= len(taken[-1])
        return b"".join(taken)

    def clear(self) -> None:
        """Let everything go."""
        self._pieces.clear()
        self.size = 0
