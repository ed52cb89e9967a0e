"""Where a content is kept while it arrives: in memory, then in a file without a name.

Either ends with its descriptor, whatever happens to this process.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress

from hashwacht.platform.safe_open import reopen_read_only

_PIECE = 256 << 10


class ContentSpool:
    """Stores chunks: up to *memory* bytes in anonymous memory, more in a file in *directory*."""

    def __init__(self, directory: str | os.PathLike[str] | None, memory: int = 0) -> None:
        """Create nothing yet.  Without *directory* the one for temporary files is used."""
        self._directory, self._memory = directory, memory
        self._fd = self._reading_fd = -1
        self._is_file = False
        self.size = 0

    @property
    def is_empty(self) -> bool:
        """Return whether nothing is stored, so that there is no descriptor yet."""
        return self._fd < 0

    def write(self, chunk: bytes) -> None:
        """Add the next bytes.  Raises OSError if there is no space left."""
        if not self._is_file and self.size + len(chunk) > self._memory:
            self._move_to_file()
        elif self._fd < 0:
            self._fd = os.memfd_create("hashwacht-upload")
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(self._fd, rest) :]
        self.size += len(chunk)

    def _move_to_file(self) -> None:
        with tempfile.TemporaryFile(buffering=0, dir=self._directory) as file:
            target = os.dup(file.fileno())
        try:
            offset = 0
            while offset < self.size:
                piece = os.pread(self._fd, _PIECE, offset)
                offset += os.write(target, piece)
                os.lseek(target, offset, os.SEEK_SET)
        except BaseException:
            os.close(target)
            raise
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._is_file = target, True

    def duplicate(self) -> int:
        """Return a descriptor for the caller to close.  Raises OSError."""
        if self._fd < 0:
            self.write(b"")
        return os.dup(self._fd)

    def descriptor(self) -> int:
        """Return a descriptor for reading only, with an offset of its own, valid until ``close``.

        Raises OSError.
        """
        if self._reading_fd < 0:
            if self._fd < 0:
                self.write(b"")
            self._reading_fd = reopen_read_only(self._fd)
        return self._reading_fd

    def close(self) -> None:
        """Release the content.  Idempotent."""
        for fd in (self._fd, self._reading_fd):
            if fd >= 0:
                with suppress(OSError):
                    os.close(fd)
        self._fd = self._reading_fd = -1
