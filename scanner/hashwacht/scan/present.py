"""What is still there, although this run has not listed it: it was excluded, not removed."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Present:
    """A container of names in the directory open as *directory*, or of absolute paths.

    *listed* are in it without a look; of everything else the file system is asked.  What the
    file system will not say counts as present: only what is certainly gone may be forgotten.
    """

    listed: Collection[bytes] = ()
    directory: int | None = None

    def __contains__(self, name: object) -> bool:
        assert isinstance(name, bytes)
        if name in self.listed:
            return True
        try:
            os.stat(name, dir_fd=self.directory, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True
        return True
