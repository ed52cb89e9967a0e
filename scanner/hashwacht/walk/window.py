"""The next subdirectories to go to, however many there are."""

from __future__ import annotations

Key = tuple[int, bytes]
"""How the subdirectories of a directory are ordered: inode number, name."""


class Window:
    """The next *limit* subdirectories after the key *after*, however many are offered."""

    def __init__(self, after: Key | None, limit: int) -> None:
        """Start empty."""
        self._after, self._limit = after, limit
        self._keys: list[Key] = []
        self.more = False

    def offer(self, key: Key) -> None:
        """Keep *key* if it is one of the next."""
        if self._after is None or key > self._after:
            self._keys.append(key)
            if len(self._keys) >= 2 * self._limit:
                self._cut()

    def _cut(self) -> None:
        if not self._keys:
            return
        self._keys.sort()
        self.more = self.more or len(self._keys) > self._limit
        del self._keys[self._limit :]

    def keys(self) -> list[Key]:
        """Return them in descending order, so that ``pop()`` gives the next."""
        self._cut()
        return self._keys[::-1]
