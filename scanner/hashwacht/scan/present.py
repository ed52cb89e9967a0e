"""What is still there, although this run has not listed it: it was excluded, not removed."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass

from hashwacht.walk.listing import Directory
from hashwacht.storage.files import Files


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


def vanished(files: Files, directory: Directory) -> list[bytes]:
    """Name what the state knows in a directory and what is there no more.

    Nothing until its last portion, and nothing if it could not be listed.
    """
    unlisted = any(not problem.name for problem in directory.problems)
    if not directory.last or directory.handle is None or unlisted:
        return []
    listed = {entry.name for entry in directory.files}
    return files.missing(directory.path, Present(listed, directory.handle.fd))
