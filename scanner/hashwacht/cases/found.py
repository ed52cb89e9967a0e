"""What the daemon has learned about one file."""

from __future__ import annotations

from dataclasses import dataclass

from hashwacht.core.types import Answer, FileId, Fingerprint, Verdict


@dataclass(frozen=True, slots=True)
class Found:
    """One file and the verdict on its content.

    *root* is the configured name, *path* absolute bytes.  *fd* is the descriptor that was
    hashed, still open; None if only stored signals were asked again: then the file is opened by
    its path, and must be the one that *id* names or have the same content.
    """

    root: str
    path: bytes
    fd: int | None
    id: FileId
    fingerprint: Fingerprint
    answers: tuple[Answer, ...]
    verdict: Verdict

    @property
    def key(self) -> str:
        """The SHA-256 of the content."""
        return self.fingerprint.key
