"""Opening a file again that was judged some time ago: the same content, or not at all."""

from __future__ import annotations

import os
from hashlib import sha256

from hashwacht.cases.hands import Undone
from hashwacht.platform.safe_open import Changed, OpenDirectory, stable
from hashwacht.core.types import FileId

_PIECE = 1 << 20
_NOT_THERE = "it is not there any more"


def reopen(path: bytes, key: str, file: FileId) -> int | Undone:
    """Give a descriptor of the file at *path* if it is *file* as it was, or has that content.

    *key* is the SHA-256 of the content.  Whoever gets the descriptor closes it.
    """
    directory, _, name = path.rpartition(b"/")
    try:
        with OpenDirectory.at(directory or b"/", to_list=False) as parent:
            fd = parent.file(name, _named(parent.fd, name))
    except (FileNotFoundError, NotADirectoryError):
        return Undone("gone", _NOT_THERE, lost=True)
    except Changed as error:
        return Undone("changed", error.message, lost=True)
    except OSError as error:
        return Undone("unreadable", error.strerror or "it cannot be opened")
    if (problem := _other(fd, key, file)) is not None:
        os.close(fd)
        return problem
    return fd


def _named(directory: int, name: bytes) -> tuple[int, int]:
    found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    return found.st_dev, found.st_ino


def _other(fd: int, key: str, file: FileId) -> Undone | None:
    """Say if the content is another one.  Whoever only touched the file does not escape."""
    now = FileId.of(os.fstat(fd))
    if now == file:
        return None
    try:
        _, digest = stable(fd, _digest)
    except Changed as error:
        return Undone("changed", error.message)
    except OSError as error:
        return Undone("unreadable", error.strerror or "it cannot be read")
    if digest != key:
        rewritten = (now.dev, now.ino) == (file.dev, file.ino)
        return Undone("changed", "it holds another content now", lost=True, rewritten=rewritten)
    return None


def _digest(fd: int) -> str:
    found = sha256()
    while piece := os.read(fd, _PIECE):
        found.update(piece)
    return found.hexdigest()
