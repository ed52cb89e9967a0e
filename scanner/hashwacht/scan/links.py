"""Hard links: several names, one file, read once."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

from hashwacht.core.types import FileId

Name = TypeVar("Name")


class Links(Generic[Name]):
    """Which files with several names are being read at this moment.  Thread-safe, bounded.

    Whoever meets such a file first claims it and reads it; names met while it is being read
    wait for that result.  *released* must be called after the result was committed, so that a
    later claim finds it in the state.
    """

    def __init__(self) -> None:
        """Begin with nothing being read."""
        self._lock = threading.Lock()
        self._waiting: dict[FileId, list[Name]] = {}

    def claim(self, file: FileId, name: Name) -> bool:
        """Ask for a file: True, read it; False, *name* will share the read that is running."""
        with self._lock:
            if file in self._waiting:
                self._waiting[file].append(name)
                return False
            self._waiting[file] = []
            return True

    def release(self, file: FileId) -> list[Name]:
        """End the claim; give all names that waited."""
        with self._lock:
            return self._waiting.pop(file, [])
