"""Files that are written and closed over and over: each further reading has to wait longer.

A log that is appended to every second would otherwise be read wholly every second.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from hashwacht.daemon.scanner.rest import pause

REMEMBERED = 10_000
"""Files at the most; 300 bytes each."""


class Hot:
    """Remembers when files were read last, and how often in short order.  Thread-safe."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._lock = threading.Lock()
        self._read: OrderedDict[bytes, tuple[float, int]] = OrderedDict()

    def read(self, path: bytes, quiet: float, busy: float) -> None:
        """Note that a file is read now; a quiet while makes it a fresh one."""
        now = time.monotonic()
        with self._lock:
            last, times = self._read.pop(path, (now, -1))
            again = now - last <= 2 * pause(quiet, busy, max(times, 0))
            self._read[path] = now, times + 1 if again else 0
            if len(self._read) > REMEMBERED:
                self._read.popitem(last=False)

    def left(self, path: bytes, quiet: float, busy: float) -> float:
        """Say in how many seconds a file may be read once more; 0: now."""
        with self._lock:
            if path not in self._read:
                return 0.0
            last, times = self._read[path]
        return max(0.0, last + pause(quiet, busy, times) - time.monotonic())
