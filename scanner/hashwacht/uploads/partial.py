"""By which protocols files come in parts here: no list knows parts, so somebody has to be told.

One empty file for each protocol in the state directory; its time is when it was last noted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from hashwacht.core.errors import StorageError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 -]{0,40}")


@dataclass(frozen=True, slots=True)
class PartialProtocol:
    """A protocol, and the Unix time when it was last noted."""

    protocol: str
    at: float


class PartialUploadLog:
    """Notes them for ``hashwacht doctor``.  Thread-safe, also between processes."""

    def __init__(self, directory: Path) -> None:
        """Keep them in *directory*, which is made when first needed."""
        self._directory = directory

    def record(self, protocol: str) -> None:
        """Note that files come by *protocol*, a plain name.  Raises StorageError, ValueError."""
        if not _NAME.fullmatch(protocol):
            raise ValueError(f"no plain name of a protocol: {protocol!r}")
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self._directory / protocol).touch(mode=0o600)
        except OSError as error:
            raise StorageError(
                f"{self._directory}: {error.strerror}",
                advice="Make the state directory writable for the web application's user.",
            ) from error

    def load(self) -> list[PartialProtocol]:
        """Give all that were noted, in the order of their names.  Raises OSError."""
        if not self._directory.is_dir():
            return []
        files = sorted(each for each in self._directory.iterdir() if _NAME.fullmatch(each.name))
        return [PartialProtocol(each.name, each.stat().st_mtime) for each in files]
