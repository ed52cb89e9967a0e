"""The audit log: one entry for every act, chained to the previous one, in an append-only file.

Any process may append; flock(2) serializes them.  An entry is on disk (fdatasync) before
``append`` returns.  The file may be marked append-only (``chattr +a``).

*What the chain shows*: any changed byte, and any entry that was removed, inserted or moved.
*What it cannot show alone*: entries cut off at the end, and a chain that an attacker with write
access has rewritten from some point on.  A checkpoint (number and hash of the newest entry), kept
out of the attacker's reach, shows both; every alert and the metrics carry one.

*A crash* during a write may leave a partial line; its act was not done yet.  The line stays, and
the next entry (``torn``) records its length and hash.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from hashwacht.audit.chain import (
    GENESIS_HASH,
    JSON,
    MAX_LINE_BYTES,
    TORN,
    AuditEntry,
    ChainBreak,
    ChainVerifier,
    Checkpoint,
    decode_entry,
    describe_junk,
    encode_entry,
    parse_link,
)
from hashwacht.core.errors import StorageError
from hashwacht.platform.atomic import chown_like_directory, sync_directory
from hashwacht.platform.locks import lock, unlock
from hashwacht.storage.sqlite.state_directory import open_error

__all__ = ["FILE_NAME", "AuditEvent", "AuditLog", "ChainBreak", "Checkpoint"]

FILE_NAME = "audit.jsonl"
"""The log, in the state directory."""

_SAFE = os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFE
_PIECE = 1 << 20
_FIRST_WINDOW, _MAX_WINDOW = 16 * 1024, 8 * MAX_LINE_BYTES


class AuditEvent(StrEnum):
    """The acts that are recorded."""

    CASE_OPENED = "case-opened"
    CASE_CHANGED = "case-changed"
    """The matches of its content changed."""
    CASE_CLOSED = "case-closed"
    SUPPRESSED = "suppressed"
    """A known-good list suppressed a match."""
    FOUND = "found"
    """The content of a case was found in a file."""
    HELD = "held"
    QUARANTINED = "quarantined"
    FAILED = "failed"
    WAITING = "waiting"
    """The action limit paused an action."""
    LEFT_ALONE = "left-alone"
    """A paused action was discarded."""
    GONE = "gone"
    RELEASED = "released"
    RESTORED = "restored"
    DESTROYED = "destroyed"
    GIVEN_UP = "given-up"
    """A file whose action a crash interrupted was not found again; the search has ended."""
    NOTED = "noted"
    REPORT_DRAFTED = "report-drafted"
    REPORT_EDITED = "report-edited"
    REPORT_APPROVED = "report-approved"
    REPORT_EXPORTED = "report-exported"
    """The text of an approved report was written out, to be sent."""
    REPORT_SENT = "report-sent"
    REPORT_WITHDRAWN = "report-withdrawn"
    LIMIT_REACHED = "limit-reached"
    LIMIT_APPROVED = "limit-approved"
    LIMIT_DISCARDED = "limit-discarded"
    LIMIT_REINSTATED = "limit-reinstated"
    UNDETERMINED_ACCEPTED = "undetermined-accepted"
    ACCEPTANCE_WITHDRAWN = "acceptance-withdrawn"
    LIST_IMPORTED = "list-imported"
    LIST_CHANGED = "list-changed"
    LIST_REMOVED = "list-removed"
    EVIDENCE_ACCEPTED = "evidence-accepted"
    """Contradictions between log, storage and vault were accepted, with a reason."""
    STARTED = "daemon-started"
    RELOADED = "daemon-reloaded"
    STOPPED = "daemon-stopped"
    GAP_OPENED = "gap-opened"
    GAP_CLOSED = "gap-closed"
    TORN = TORN
    """A crash left a partial line before this entry."""


class AuditLog:
    """The audit log at *path*.  Safe for threads and processes; keeps no file open."""

    def __init__(self, path: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Use the file at *path*; the first ``append`` creates it (mode 0600)."""
        self.path, self._now = path, now

    def append(self, act: str, who: str, facts: Mapping[str, JSON]) -> None:
        """Record an act; it is on disk when this returns.

        Raises StorageFull, StorageError; then nothing was recorded.
        """
        self.append_all(who, [(act, facts)])

    def append_all(
        self, who: str, acts: Sequence[tuple[str, Mapping[str, JSON]]]
    ) -> Checkpoint | None:
        """Record several acts, all or none of them; return a checkpoint of the last of them."""
        if not acts:
            return None
        with self._writing() as fd:
            size = os.fstat(fd).st_size
            last, junk, is_complete = _read_end(fd, size, self.path)
            lines = b"" if is_complete else b"\n"
            pending = [(AuditEvent.TORN, describe_junk(junk)), *acts] if junk else acts
            for act, facts in pending:
                at = self._now().isoformat(timespec="microseconds")
                line = encode_entry(AuditEntry(last.seq + 1, at, who, act, facts, last.hash))
                last = _checkpoint(line)
                lines += line
            _write_all(fd, size, lines)
            return last

    def entries(self) -> Iterator[AuditEntry]:
        """Yield the present entries, oldest first; lines that are not entries are skipped."""
        yield from (entry for line in self._lines() if (entry := decode_entry(line)) is not None)

    def latest(
        self, number: int, wanted: Callable[[AuditEntry], bool] = lambda _: True
    ) -> list[AuditEntry]:
        """Return the newest entries for which *wanted* is true, oldest first."""
        return [*deque((entry for entry in self.entries() if wanted(entry)), number)]

    def head(self) -> Checkpoint:
        """Return a checkpoint of the newest entry.  Raises StorageError."""
        with self._reading() as (fd, size):
            return _read_end(fd, size, self.path)[0] if size else Checkpoint(0, GENESIS_HASH)

    def size(self) -> int:
        """Return the bytes of all entries that are complete now.  Raises StorageError."""
        with self._reading() as (_, size):
            return size

    def copy(self, target: Path, size: int) -> None:
        """Copy the first *size* bytes to the new file *target* (0600).  Raises StorageError."""
        with self._reading() as (fd, _):
            try:
                with os.fdopen(os.open(target, _NEW, 0o600), "wb") as file:
                    offset = 0
                    while offset < size:
                        piece = os.pread(fd, min(_PIECE, size - offset), offset)
                        if not piece:
                            raise StorageError(
                                f"the audit log {self.path} was cut while it was copied",
                                advice="Run `hashwacht audit verify`.",
                            )
                        offset += file.write(piece)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                raise open_error(error, target) from error

    def lines_after(self, seq: int) -> Iterator[tuple[int, bytes]]:
        """Yield each present entry behind the entry *seq*: its number and its line.

        What a crash left before an entry is part of its line; what has no entry behind it may be
        completed by the next one, and is not yielded.
        """
        content = b""
        for line in self._lines():
            content += line
            if (link := parse_link(line)) is not None:
                if link.seq > seq:
                    yield link.seq, content
                content = b""

    def verify(self, checkpoint: Checkpoint | None = None) -> ChainBreak | None:
        """Check the whole chain; return None if it is intact.  Raises StorageError.

        With a *checkpoint*, its entry must be present and unchanged.
        """
        verifier = ChainVerifier(checkpoint or Checkpoint(0, GENESIS_HASH))
        problem = next(filter(None, map(verifier.check_line, self._lines())), None)
        problem = problem or verifier.check_end()
        return None if problem is None else ChainBreak(verifier.suspect, problem)

    def _lines(self) -> Iterator[bytes]:
        """Yield the present lines; an overlong one is yielded in pieces."""
        with self._reading() as (fd, size):
            if not size:
                return
            with open(fd, "rb", closefd=False) as file:
                while (remaining := size - file.tell()) > 0:
                    yield file.readline(min(remaining, MAX_LINE_BYTES))

    @contextmanager
    def _writing(self) -> Iterator[int]:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | _SAFE, 0o600)
        except OSError as error:
            raise open_error(error, self.path) from error
        try:
            lock(fd)
            if not os.fstat(fd).st_size:
                chown_like_directory(fd, self.path)
                sync_directory(self.path.parent)
            yield fd
        except OSError as error:
            raise open_error(error, self.path) from error
        finally:
            os.close(fd)

    @contextmanager
    def _reading(self) -> Iterator[tuple[int, int]]:
        """Open the file and yield its size between two writes; (-1, 0) if there is none."""
        try:
            fd = os.open(self.path, os.O_RDONLY | _SAFE)
        except FileNotFoundError:
            yield -1, 0
            return
        except OSError as error:
            raise open_error(error, self.path) from error
        try:
            lock(fd, shared=True)
            size = os.fstat(fd).st_size
            unlock(fd)
            yield fd, size
        finally:
            os.close(fd)


def _checkpoint(line: bytes) -> Checkpoint:
    link = parse_link(line)
    assert link is not None, "an entry"
    return Checkpoint(link.seq, link.hash)


def _read_end(fd: int, size: int, path: Path) -> tuple[Checkpoint, bytes, bool]:
    """Return the last entry, the junk after it, and whether the last line has its line feed.

    An entry that lacks only its line feed counts.  Raises StorageError, OSError.
    """
    is_complete = not size or os.pread(fd, 1, size - 1) == b"\n"
    window = _FIRST_WINDOW
    while True:
        start = max(0, size - window)
        lines = _split_lines(os.pread(fd, size - start, start))
        junk: list[bytes] = []
        while len(lines) > (start > 0):  # the first one may be partial
            line = lines.pop()
            if parse_link(line) is not None:
                return _checkpoint(line), b"".join(reversed(junk)), is_complete
            junk.append(line)
        if not start:
            return Checkpoint(0, GENESIS_HASH), b"".join(reversed(junk)), is_complete
        if window > _MAX_WINDOW:
            raise StorageError(
                f"the audit log {path} does not end with an entry",
                advice="Run `hashwacht audit verify`; move the file away to start a new log.",
            )
        window *= 2


def _split_lines(text: bytes) -> list[bytes]:
    """Split at line feeds only; the last line gets one if it has none."""
    lines = text.removesuffix(b"\n").split(b"\n")
    return [line + b"\n" for line in lines] if text else []


def _write_all(fd: int, size: int, lines: bytes) -> None:
    """Append *lines* and sync them to disk, or write nothing.  Raises OSError."""
    try:
        unwritten = memoryview(lines)
        while unwritten:
            unwritten = unwritten[os.write(fd, unwritten) :]
        os.fdatasync(fd)
    except OSError:
        with suppress(OSError):  # an append-only file keeps it: the next entry records it
            os.ftruncate(fd, size)
        raise
