"""What the walking and the reading side of a scan tell the recorder, in the order it happens."""

from __future__ import annotations

from dataclasses import dataclass, field

from hashwacht.core.types import FileId, Fingerprint, Reason
from hashwacht.scan.tally import Tally


@dataclass(slots=True, eq=False)
class DirectoryProgress:
    """One directory on its way through the scan; touched by the recorder's thread alone.

    It is done when everything that was announced (*expected*) has been settled and the
    walker has *listed* all of it.
    """

    path: bytes
    tally: Tally = field(default_factory=Tally)
    settled: int = 0
    expected: int = 0
    listed: bool = False

    @property
    def done(self) -> bool:
        """True when nothing of this directory is outstanding."""
        return self.listed and self.settled == self.expected


@dataclass(frozen=True, slots=True)
class WalkedFile:
    """A name in a directory, and the file it stood for when it was looked at."""

    work: DirectoryProgress
    name: bytes
    id: FileId
    nlink: int

    @property
    def path(self) -> bytes:
        """Absolute, as walked."""
        return self.work.path.rstrip(b"/") + b"/" + self.name


@dataclass(frozen=True, slots=True)
class FileRead:
    """A file was read: its fingerprint, what it was *at* that moment, the seconds it took."""

    file: WalkedFile
    fingerprint: Fingerprint
    at: FileId
    seconds: float


@dataclass(frozen=True, slots=True)
class FileKnown:
    """The content of a file is in the state already; *new* if this name for it is not."""

    file: WalkedFile
    content: int
    new: bool


@dataclass(frozen=True, slots=True)
class FileUnreadable:
    """A file is there and could not be read, or not twice the same."""

    file: WalkedFile
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class FileVanished:
    """A file was there when its directory was listed, and no more when it was opened."""

    file: WalkedFile


@dataclass(frozen=True, slots=True)
class DirectoryListed:
    """A part of a directory was listed: *expected* messages will have come for it.

    *tally* counts what needs no message, *gone* are names of the state that are there no more,
    *last* says that the directory has no further part.
    """

    work: DirectoryProgress
    tally: Tally
    expected: int
    gone: tuple[bytes, ...]
    last: bool


@dataclass(frozen=True, slots=True)
class DirectoriesUnchanged:
    """Whole directories, by their *numbers* in the state, in which nothing is to be done.

    *tally* counts all of them, *path* is the last.
    """

    numbers: tuple[int, ...]
    tally: Tally
    path: bytes


@dataclass(frozen=True, slots=True)
class DirectoryUnreadable:
    """A directory (or a part of the tree) that could not be listed."""

    path: bytes
    detail: str


ScanMessage = (
    FileRead
    | FileKnown
    | FileUnreadable
    | FileVanished
    | DirectoryListed
    | DirectoriesUnchanged
    | DirectoryUnreadable
)
