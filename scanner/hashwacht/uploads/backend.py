"""Where the work on an upload is done: the port, and what comes back through it.

A web application hands over an open file and what the request told.  Behind the port is a
pipeline in the same process (:mod:`hashwacht.uploads.local`), or the daemon, to which the
descriptor goes over a Unix socket (:mod:`hashwacht.uploads.remote`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from hashwacht.core.ports import StreamHasher
from hashwacht.core.types import Match, Outcome, Reason, Verdict
from hashwacht.core.upload_context import UploadContext


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What is known of one content: the public result.

    *key* is its SHA-256 (64 hex digits) and *kind* its sniffed MIME type, both empty if it could
    not be read; *size* is in bytes.  *kept*: it is in the state, so that ``hashwacht recheck``
    or the daemon asks again.
    """

    verdict: Verdict
    key: str = ""
    kind: str = ""
    size: int = 0
    recorded: bool = False

    @property
    def outcome(self) -> Outcome:
        """MATCH, NO_MATCH or UNDETERMINED."""
        return self.verdict.outcome

    @property
    def matches(self) -> tuple[Match, ...]:
        """Who knows it, and from which list."""
        return self.verdict.matches

    @property
    def reason(self) -> Reason | None:
        """Why it is undetermined."""
        return self.verdict.reason


def undetermined_result(reason: Reason, detail: str) -> CheckResult:
    """Make the result for a content that nobody could ask about."""
    return CheckResult(Verdict(Outcome.UNDETERMINED, reason=reason, detail=detail))


class CheckBackend(Protocol):
    """Takes an open file all the way.  Thread-safe."""

    def check(self, fd: int, context: UploadContext | None, *, private: bool) -> CheckResult:
        """Give the verdict on *fd*, a regular file open for reading at any offset.

        *private*: nobody else can write to it, so it need not be watched for changes.  What
        cannot be read or asked is UNDETERMINED, never an exception.  Matches and undetermined
        contents are kept with what was *told*.
        """

    def close(self) -> None:
        """Give everything back."""


@runtime_checkable
class StreamingBackend(Protocol):
    """What a Workplace can do on top that may begin with a content that is still coming in."""

    def open_stream(self) -> StreamHasher | None:
        """Begin with one; None if it is taken when it is complete.  Raises HashwachtError."""

    def check_stream(
        self, ahead: StreamHasher, kept: int | None, context: UploadContext | None
    ) -> CheckResult:
        """Do what ``check`` does with one that was read *ahead*, and *kept* if that was wanted."""
