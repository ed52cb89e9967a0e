"""Finding something in bytes that come in pieces, as if they were one."""

from __future__ import annotations


class Search:
    """``behind`` every piece, or ``skip`` those where it cannot be.  Keeps less than *wanted*."""

    def __init__(self, wanted: bytes) -> None:
        """Look for *wanted*, two bytes or more."""
        self._wanted = wanted
        self._seam = b""

    def behind(self, piece: bytes) -> bytes | None:
        """Give what of *piece* comes behind the first *wanted*; None if it does not end here."""
        _, found, rest = (self._seam + piece).partition(self._wanted)
        self.skip(piece)
        return rest if found else None

    def skip(self, piece: bytes) -> None:
        """Only remember how *piece* ends: what is wanted may begin there."""
        keep = len(self._wanted) - 1
        self._seam = (self._seam + piece[-keep:])[-keep:]
