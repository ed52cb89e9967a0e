"""The audit log: every act, each entry chained to the one before, in a file that only grows.

Any process of ours may append; they take turns by flock(2).  An entry is on the disk itself
before ``append`` returns (fdatasync).  The file may be marked append-only (``chattr +a``).

*What the chain shows*: any byte that was changed, any entry that was taken out, put in or moved.
*What it cannot show by itself*: entries cut off at the end, and a chain that somebody with write
access has written anew from some point on.  A checkpoint (number and hash of the newest entry),
kept where that somebody cannot write, shows both.

*A crash* while an entry is written may leave part of a line, whose act was not done yet.  It
stays where it is; the next entry says that it is there, how long it is and what it hashes to.
"""

from __future__ import annotations

import fcntl
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from hashwacht.audit.chain import TORN, ChainBreak, ChainVerifier, Checkpoint, describe_junk
from hashwacht.audit.entry import (
    GENESIS_HASH,
    JSON,
    MAX_LINE_BYTES,
    AuditEntry,
    decode_entry,
    parse_link,
    write,
)
from hashwacht.core.errors import StorageError
from hashwacht.storage.sqlite.state_directory import (
    chown_like_directory,
    fsync_directory,
    open_error,
)

__all__ = ["FILE_NAME", "AuditEvent", "AuditLog", "ChainBreak", "Checkpoint"]

FILE_NAME = "audit.jsonl"
"""The log, in the state directory."""

_SAFE = os.O_NOFOLLOW | os.O_CLOEXEC
_WINDOW, _WIDEST = 16 * 1024, 8 * MAX_LINE_BYTES


class AuditEvent(StrEnum):
    """What is written down."""

    CASE_OPENED = "case-opened"
    CASE_CHANGED = "case-changed"
    """Its content is matched otherwise than before: more, less, or no longer."""
    CASE_CLOSED = "case-closed"
    SUPPRESSED = "suppressed"
    """A content matched and a known-good list set that aside."""
    FOUND = "found"
    """A content of a case was found at a place; the state says if it is acted upon or waits."""
    HELD = "held"
    QUARANTINED = "quarantined"
    FAILED = "failed"
    WAITING = "waiting"
    """The flood guard holds an action that had been tried, or was not asked for before."""
    LEFT_ALONE = "let-be"
    """An action that was waiting was dropped."""
    GONE = "gone"
    RELEASED = "released"
    RESTORED = "restored"
    DESTROYED = "destroyed"
    GIVEN_UP = "given-up"
    """A file was being taken when everything stopped, and is looked for no more."""
    NOTED = "noted"
    LIMIT_REACHED = "flood-began"
    LIMIT_APPROVED = "flood-let-go"
    LIMIT_DISCARDED = "flood-stood-down"
    LIMIT_REINSTATED = "flood-recalled"
    LIST_IMPORTED = "list-imported"
    LIST_CHANGED = "list-changed"
    LIST_REMOVED = "list-removed"
    STARTED = "daemon-started"
    RELOADED = "daemon-reloaded"
    STOPPED = "daemon-stopped"
    GAP_OPENED = "gap-opened"
    GAP_CLOSED = "gap-closed"
    TORN = TORN
    """Part of a line that a crash has left stands before this entry."""


class AuditLog:
    """The audit log at *path*.  Thread-safe, also between processes; keeps nothing open."""

    def __init__(self, path: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Use the file at *path*; it is made (mode 0600) when first appended to."""
        self.path = path
        self._now = now

    def append(self, act: str, who: str, facts: Mapping[str, JSON]) -> None:
        """Write down an act; it is on the disk when this returns.

        Raises StorageFull, StorageError; then nothing was written down.
        """
        self.append_all(who, [(act, facts)])

    def append_all(self, who: str, acts: Sequence[tuple[str, Mapping[str, JSON]]]) -> None:
        """Write down several acts in one go, all or none of them."""
        if not acts:
            return
        with self._writing() as fd:
            size = os.fstat(fd).st_size
            last, junk, whole = _end(fd, size, self.path)
            lines = b"" if whole else b"\n"
            todo = [(AuditEvent.TORN, describe_junk(junk)), *acts] if junk else acts
            for act, facts in todo:
                line = write(AuditEntry(last.seq + 1, self._at(), who, act, facts, last.hash))
                last = _checkpoint(line)
                lines += line
            _write_all(fd, size, lines)

    def entries(self) -> Iterator[AuditEntry]:
        """Give what is there now, the oldest first; what is no entry is passed over."""
        yield from (entry for line in self._lines() if (entry := decode_entry(line)) is not None)

    def latest(
        self, number: int, wanted: Callable[[AuditEntry], bool] = lambda _: True
    ) -> list[AuditEntry]:
        """Give the newest entries that are *wanted*, the oldest of them first."""
        return [*deque((entry for entry in self.entries() if wanted(entry)), number)]

    def head(self) -> Checkpoint:
        """Give the newest entry, to be kept elsewhere.  Raises StorageError."""
        with self._reading() as (fd, size):
            return _end(fd, size, self.path)[0] if size else Checkpoint(0, GENESIS_HASH)

    def verify(self, checkpoint: Checkpoint | None = None) -> ChainBreak | None:
        """Go through the whole chain; None if it holds.  Raises StorageError.

        With a *checkpoint*, its entry must be there as it was.
        """
        chain = ChainVerifier(checkpoint or Checkpoint(0, GENESIS_HASH))
        for line in self._lines():
            if (problem := chain.follow(line)) is not None:
                return ChainBreak(chain.suspect, problem)
        problem = chain.end()
        return None if problem is None else ChainBreak(chain.suspect, problem)

    def _at(self) -> str:
        return self._now().isoformat(timespec="microseconds")

    def _lines(self) -> Iterator[bytes]:
        """Give the lines of what is there now; one that is too long comes in pieces."""
        with self._reading() as (fd, size):
            if not size:
                return
            with open(fd, "rb", closefd=False) as file:
                while (left := size - file.tell()) > 0:
                    yield file.readline(min(left, MAX_LINE_BYTES))

    @contextmanager
    def _writing(self) -> Iterator[int]:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | _SAFE, 0o600)
        except OSError as error:
            raise open_error(error, self.path) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if not os.fstat(fd).st_size:
                chown_like_directory(fd, self.path)
                fsync_directory(self.path)
            yield fd
        except OSError as error:
            raise open_error(error, self.path) from error
        finally:
            os.close(fd)

    @contextmanager
    def _reading(self) -> Iterator[tuple[int, int]]:
        """Open it, and give its size while nobody writes; (-1, 0) if there is none."""
        try:
            fd = os.open(self.path, os.O_RDONLY | _SAFE)
        except FileNotFoundError:
            yield -1, 0
            return
        except OSError as error:
            raise open_error(error, self.path) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_SH)
            size = os.fstat(fd).st_size
            fcntl.flock(fd, fcntl.LOCK_UN)
            yield fd, size
        finally:
            os.close(fd)


def _checkpoint(line: bytes) -> Checkpoint:
    found = parse_link(line)
    assert found is not None, "an entry"
    return Checkpoint(found.seq, found.hash)


def _end(fd: int, size: int, path: Path) -> tuple[Checkpoint, bytes, bool]:
    """Give the last entry, what stands after it, and whether the last line is ended.

    An entry that lacks nothing but its line feed is one.  Raises StorageError, OSError.
    """
    whole = not size or os.pread(fd, 1, size - 1) == b"\n"
    window = _WINDOW
    while True:
        start = max(0, size - window)
        lines = _split(os.pread(fd, size - start, start))
        junk: list[bytes] = []
        while len(lines) > (start > 0):  # the first one may begin in its middle
            line = lines.pop()
            if parse_link(line) is not None:
                return _checkpoint(line), b"".join(reversed(junk)), whole
            junk.append(line)
        if not start:
            return Checkpoint(0, GENESIS_HASH), b"".join(reversed(junk)), whole
        if window > _WIDEST:
            raise StorageError(
                f"the end of the audit log {path} is no entry",
                advice="Run `hashwacht audit verify`; move the file aside to begin a new one.",
            )
        window *= 2


def _split(text: bytes) -> list[bytes]:
    """Cut at each line feed, and nowhere else; the last line gets one if it has none."""
    lines = text.removesuffix(b"\n").split(b"\n")
    return [line + b"\n" for line in lines] if text else []


def _write_all(fd: int, size: int, lines: bytes) -> None:
    """Write *lines* at the end and to the disk, or nothing.  Raises OSError."""
    try:
        left = memoryview(lines)
        while left:
            left = left[os.write(fd, left) :]
        os.fdatasync(fd)
    except OSError:
        with suppress(OSError):  # an append-only file keeps it: the next entry tells of it
            os.ftruncate(fd, size)
        raise
