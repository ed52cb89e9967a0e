"""Shares of a bounded resource: no client can take all of it, however many it asks for."""

from __future__ import annotations

import threading
from collections import Counter


class FairShare:
    """Grants up to *total* units; a client gets one only while it has fewer than are free.

    So one client has at most half of all units, two a third each, and there is always one for a
    client that has none until there are very many (Choudhury and Hahne, "Dynamic queue length
    thresholds for shared-memory packet switches", 1998, with alpha = 1).  Thread-safe.
    """

    def __init__(self, total: int) -> None:
        self._free = total
        self._used: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """The number of granted units."""
        return self._used.total()

    def acquire(self, client: str) -> bool:
        """Take a unit for *client*; return False if it has its share, or none is left."""
        with self._lock:
            if self._used[client] >= self._free:
                self._forget(client)
                return False
            self._free -= 1
            self._used[client] += 1
            return True

    def release(self, client: str) -> None:
        """Return a unit of *client*."""
        with self._lock:
            self._free += 1
            self._used[client] -= 1
            self._forget(client)

    def _forget(self, client: str) -> None:
        if not self._used[client]:
            del self._used[client]
