"""What quarantine gives back when it was done."""

from __future__ import annotations

from dataclasses import dataclass

from hashwacht.quarantine.record import Record
from hashwacht.platform.syscalls import Writers


@dataclass(frozen=True, slots=True)
class Sealed:
    """A file is sealed in the vault, under the id of its *record*, and gone from its place.

    *finished* is False if the original could not be removed from the holding directory, where
    nobody can reach it; the next recovery does that.
    """

    record: Record
    finished: bool = True

    @property
    def id(self) -> str:
        """The entry in the vault."""
        return self.record.id

    @property
    def other_names(self) -> int:
        """How many other names (hard links) go on serving the content; find them by inode."""
        return self.record.other_names

    @property
    def writers(self) -> Writers:
        """Whether somebody had it open for writing.  What he writes later is nobody's file."""
        return self.record.sealing.writers if self.record.sealing else Writers.UNKNOWN
