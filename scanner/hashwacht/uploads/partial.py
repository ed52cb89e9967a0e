"""A record of protocols by which files arrive in parts: parts match no list.

One empty file for each protocol in the state directory; its time is that of the last upload.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from hashwacht.core.errors import StorageError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 -]{0,40}")


@dataclass(frozen=True, slots=True)
class PartialProtocol:
    """A protocol, and the Unix time of its last upload."""

    protocol: str
    at: float


class PartialUploadLog:
    """Records protocols for ``hashwacht doctor``.  Thread-safe, also between processes."""

    def __init__(self, directory: Path) -> None:
        """Use *directory*, which is created when first needed."""
        self._directory = directory

    def record(self, protocol: str) -> None:
        """Record an upload by *protocol*, a plain name.  Raises StorageError, ValueError."""
        if not _NAME.fullmatch(protocol):
            raise ValueError(f"not a plain name of a protocol: {protocol!r}")
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self._directory / protocol).touch(mode=0o600)
        except OSError as error:
            raise StorageError(
                f"{self._directory}: {error.strerror}",
                advice="Make the state directory writable for the web application's user.",
            ) from error

    def load(self) -> list[PartialProtocol]:
        """Return all protocols in the order of their names.  Raises OSError."""
        if not self._directory.is_dir():
            return []
        files = sorted(file for file in self._directory.iterdir() if _NAME.fullmatch(file.name))
        return [PartialProtocol(file.name, file.stat().st_mtime) for file in files]
