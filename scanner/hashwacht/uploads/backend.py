"""The port between the public checker and where uploads are checked, and its result.

A web application hands over an open file and what the request stated.  Behind the port is a
pipeline in the same process (:mod:`hashwacht.uploads.local`), or the daemon, which receives the
descriptor over a Unix socket (:mod:`hashwacht.uploads.remote`).  Files that arrive in parts cannot
be checked, because parts match no list: a log names the protocols by which they arrive.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from hashwacht.core.errors import StorageError, WorkerError
from hashwacht.core.ports import StreamHasher
from hashwacht.core.types import Match, Outcome, Reason, Verdict
from hashwacht.core.upload_context import UploadContext
from hashwacht.platform.safe_open import FileChanged


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What is known of one content: the public result.

    *key* is its SHA-256 (64 hex digits) and *kind* its sniffed MIME type, both empty if it could
    not be read; *size* is in bytes.  *recorded*: it is in the storage, so that ``hashwacht
    recheck`` or the daemon asks again.
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
        """The matches, with matcher and list."""
        return self.verdict.matches

    @property
    def reason(self) -> Reason | None:
        """Why it is undetermined."""
        return self.verdict.reason


def undetermined_result(reason: Reason, detail: str) -> CheckResult:
    """Return the result for a content that could not be read or asked about."""
    return CheckResult(Verdict(Outcome.UNDETERMINED, reason=reason, detail=detail))


def undetermined_on_error(check: Callable[[], CheckResult]) -> CheckResult:
    """Return the result of *check*; an error that prevents one makes it undetermined."""
    try:
        return check()
    except FileChanged as error:
        return undetermined_result(Reason.CHANGED, error.message)
    except WorkerError as error:
        return undetermined_result(Reason.WORKER_DIED, error.message)
    except OSError as error:
        return undetermined_result(Reason.UNREADABLE, error.strerror or "cannot be read")


class CheckBackend(Protocol):
    """Checks open files.  Thread-safe."""

    def check(self, fd: int, context: UploadContext | None, *, private: bool) -> CheckResult:
        """Return the verdict on *fd*, a regular file open for reading at any offset.

        *private*: no other process can write to it, so it need not be watched for changes.  What
        cannot be read or asked is UNDETERMINED, never an exception.  Matches and undetermined
        contents are recorded with *context*.
        """

    def close(self) -> None:
        """Release all resources."""


@runtime_checkable
class StreamingBackend(Protocol):
    """A CheckBackend that can begin with a content while it arrives."""

    def open_stream(self) -> StreamHasher | None:
        """Return a hasher; None if the content must be complete.  Raises HashwachtError."""

    def check_stream(
        self,
        ahead: StreamHasher,
        kept: int | None,
        context: UploadContext | None,
        *,
        decodes: bool = True,
    ) -> CheckResult:
        """Return the verdict on what *ahead* has read; *kept* is its file if that was wanted.

        Without *decodes* only its digests are judged, and a picture is undetermined (OVERLOADED)
        unless they match.
        """


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 -]{0,40}")


@dataclass(frozen=True, slots=True)
class PartialProtocol:
    """A protocol, and the Unix time of its last upload."""

    protocol: str
    at: float


class PartialUploadLog:
    """Records protocols for ``hashwacht doctor``.  Thread-safe, also between processes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def record(self, protocol: str) -> None:
        """Record an upload by *protocol*, a plain name.  Raises StorageError, ValueError."""
        if not _NAME.fullmatch(protocol):
            raise ValueError(f"not a plain name of a protocol: {protocol!r}")
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self._directory / protocol).touch(mode=0o600)
        except OSError as error:
            raise StorageError(
                f"{self._directory}: {error.strerror}",
                advice="Make the state directory writable for the web application's user.",
            ) from error

    def load(self) -> list[PartialProtocol]:
        """Return all protocols in the order of their names.  Raises OSError."""
        if not self._directory.is_dir():
            return []
        files = sorted(file for file in self._directory.iterdir() if _NAME.fullmatch(file.name))
        return [PartialProtocol(file.name, file.stat().st_mtime) for file in files]
