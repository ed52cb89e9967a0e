"""A little space kept back, so that a full disk can still be recorded.

On a full disk SQLite can neither delete nor checkpoint (both write first), so nothing inside
the database can make room for the note that the run was interrupted.  Deleting a file can.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

RESERVE_BYTES = 4 * 1024 * 1024
"""Enough for thousands of small transactions in the write-ahead log."""


@dataclass(frozen=True, slots=True)
class Reserve:
    """The file that holds the space; *path* lies on the file system of the database."""

    path: Path
    size: int = RESERVE_BYTES

    def fill(self) -> bool:
        """Hold the space; False if there is none to hold.  Does nothing if it is held."""
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return False
        try:
            if os.fstat(descriptor).st_blocks * 512 < self.size:
                os.posix_fallocate(descriptor, 0, self.size)
        except OSError:
            self.release()
            return False
        finally:
            os.close(descriptor)
        return True

    def release(self) -> bool:
        """Give the space back to the file system; False if none was held."""
        try:
            self.path.unlink()
        except OSError:
            return False
        return True
