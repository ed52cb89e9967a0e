"""What became of a look at an entry of the journal, told by the readers to the clerks."""

from __future__ import annotations

import os
from dataclasses import dataclass

from hashwacht.storage.files import KnownFile
from hashwacht.storage.journal import Entry
from hashwacht.core.types import FileId, Fingerprint, Reason


@dataclass(frozen=True, slots=True)
class Task:
    """An entry to be looked at, and what the state knows of its path."""

    entry: Entry
    root: str
    known: KnownFile | None

    @property
    def split(self) -> tuple[bytes, bytes]:
        """Directory and name."""
        return os.path.split(self.entry.path)


@dataclass(frozen=True, slots=True)
class Seen:
    """A content was fingerprinted, or found unchanged: then *content* is its number.

    *fd* is open on exactly these bytes; whoever takes the look over closes it.  *kept*: the
    state has this name with this FileId already.
    """

    task: Task
    fd: int
    id: FileId
    nlink: int
    fingerprint: Fingerprint | None = None
    content: int | None = None
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Unread:
    """The file is there and could not be read, or not twice the same.

    *again* is when (Unix time) to try once more; None: a walk will come by.
    """

    task: Task
    id: FileId
    nlink: int
    reason: Reason
    detail: str
    again: float | None = None


@dataclass(frozen=True, slots=True)
class Gone:
    """There is no such file, or none that is to be looked at."""

    task: Task


@dataclass(frozen=True, slots=True)
class Later:
    """It has not come to rest, or we had a problem of our own: look again at *due*."""

    task: Task
    due: float


Look = Seen | Unread | Gone | Later
