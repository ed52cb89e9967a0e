"""A file opened for writing in a storage: it is checked and stored when it is closed."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from typing import IO, Any

from django.core.files.base import File  # type: ignore[import-untyped]  # Django ships no types

from hashwacht_plugins.django.conf import configured
from hashwacht_plugins.django.verdicts import check_file
from hashwacht_plugins.middleware_settings import CHUNK


def writes(mode: str) -> bool:
    """Return whether a file opened with *mode* may be written."""
    return any(letter in mode for letter in "wax+")


class CheckedFile(File):  # type: ignore[misc]  # as above
    """Collects what is written in an unlinked temporary file.

    ``close`` checks the whole content and stores it.  A file that is never closed is not stored.
    """

    def __init__(self, sender: type, storage: Any, name: str, mode: str) -> None:
        """Open *name* of the inner *storage*; *sender* is that of the signal.  Raises OSError."""
        self._sender, self._storage = sender, storage
        if "x" in mode and storage.exists(name):
            raise FileExistsError(f"{name} exists")
        self._content: IO[bytes] = tempfile.TemporaryFile(dir=configured().policy.spool)  # noqa: SIM115  # closed by close()
        try:
            if "r" in mode or ("a" in mode and storage.exists(name)):
                with closing(storage.open(name, "rb")) as stored:
                    shutil.copyfileobj(stored, self._content, CHUNK)
        except BaseException:
            self._content.close()
            raise
        if "a" not in mode:
            self._content.seek(0)
        super().__init__(self._content if "b" in mode else io.TextIOWrapper(self._content), name)
        self.mode = mode

    def close(self) -> None:
        """Check and store the content.  Raises UploadRefused, and OSError as the storage does."""
        if self.file.closed:
            return
        try:
            self.file.flush()
            check_file(self._sender, self._pieces(), self.name, "")
            self._content.seek(0)
            with closing(self._storage.open(self.name, "wb")) as stored:
                shutil.copyfileobj(self._content, stored, CHUNK)
        finally:
            self.file.close()

    def _pieces(self) -> Iterator[bytes]:
        self._content.seek(0)
        while piece := self._content.read(CHUNK):
            yield piece
