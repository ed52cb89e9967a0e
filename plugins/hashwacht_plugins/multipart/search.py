"""Finding something in bytes that come in pieces, as if they were one."""

from __future__ import annotations


class Search:
    """Look ``behind`` what is wanted in a piece, then ``go_on`` to the next one.

    *seam* is how the pieces so far end: one byte fewer than are wanted.
    """

    def __init__(self, wanted: bytes) -> None:
        """Look for *wanted*, two bytes or more."""
        self._wanted, self._keep = wanted, len(wanted) - 1
        self.seam = b""

    def behind(self, piece: bytes) -> bytes | None:
        """Give what of *piece* comes behind the first *wanted*; None if it does not end here."""
        if self._wanted in self.seam + piece[: self._keep]:
            piece = self.seam + piece
        _, found, rest = piece.partition(self._wanted)
        return rest if found else None

    def go_on(self, piece: bytes) -> None:
        """Remember how *piece* ends: what is wanted may begin there."""
        keep = self._keep
        self.seam = piece[-keep:] if len(piece) >= keep else (self.seam + piece)[-keep:]
