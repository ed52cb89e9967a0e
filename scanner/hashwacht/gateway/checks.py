"""The port between the socket servers and the scanner: contents go in, answers come out.

Each check has an *event*, eight random hex digits.  It is recorded with the upload, so that
``hashwacht cases show EVENT`` finds the case from the only text that an uploader is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from hashwacht.core.types import Signal, Verdict
from hashwacht.core.upload_context import UploadContext
from hashwacht.gateway.peers import Peer
from hashwacht.uploads.backend import CheckResult


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of one check, and the event under which it is recorded."""

    result: CheckResult
    event: str


@dataclass(frozen=True, slots=True)
class PathAnswer:
    """The answer for one file below a path that a peer asked about; *path* as the peer wrote it.

    *answer* is None if the file was not checked; *problem* is then why, in clamd's words.
    """

    path: bytes
    answer: Answer | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class HashedContent:
    """The signals of a content that a client has hashed itself; *kind* is its media type or "".

    Without a kind it may be a picture.
    """

    signals: tuple[Signal, ...]
    kind: str = ""


class ContentStream(Protocol):
    """A content that arrives in pieces: ``write``, then ``finish``; ``close`` on every path."""

    def write(self, chunk: bytes) -> None:
        """Add the next bytes.  Raises OSError if there is no space left."""

    async def finish(self, context: UploadContext) -> Answer:
        """Return the answer for the whole content; never raises for a failed check."""

    def descriptor(self) -> int:
        """Return a descriptor of the spooled content, open for reading, valid until ``close``."""

    def close(self) -> None:
        """Release the content.  Idempotent."""


class ContentChecks(Protocol):
    """Checks contents for the servers.  Used from one event loop."""

    def open_stream(self) -> ContentStream:
        """Return a stream for a content that is still arriving."""

    async def check_fd(self, fd: int, context: UploadContext) -> Answer:
        """Return the answer for an open regular file, which stays open.

        An unreadable or unanswered one is undetermined, never an exception.
        """

    async def check_path(
        self, path: bytes, peer: Peer, *, everything: bool
    ) -> Sequence[PathAnswer]:
        """Return the answers for the files below an absolute path, as far as *peer* may ask.

        The scanner opens them, below the roots and ``gateway.clamd.paths`` only.  *everything*:
        go on after the first match.
        """

    async def lookup(self, contents: Sequence[HashedContent]) -> Sequence[Verdict]:
        """Return a verdict on each content; nothing is recorded.

        One of which a signal is missing that a matcher accepts is undetermined unless it matches.
        """

    async def is_able(self) -> bool:
        """Return whether any verdict can be given: the scanner and one of its matchers answer."""

    async def revision(self) -> int:
        """Return the number of changes of lists and matchers so far: it grows, below 2**31."""
