"""Keeping a file from being served where it lies, and letting it go exactly as it was.

*By mode*: all permissions are taken away through the descriptor that was judged, so that no
other user, and not even its owner, can open it; programs that run as root, and those that have it
open, still can.  *By command*: a program of the operator's does whatever keeps it from being
served.

What holding takes away is written down, durable, before it is taken.  Both acts may be repeated,
and end as a value: what was done, or a refusal, after which everything is as it was before.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from hashwacht.platform.syscalls import inode_generation, is_immutable
from hashwacht.quarantine.find import find_file
from hashwacht.quarantine.hold_methods import (
    COMMAND_TIMEOUT,
    HoldMethod,
    HoldRecord,
    HoldRecords,
    ReleasedMode,
    hold_method,
)
from hashwacht.quarantine.results import FailureReason, QuarantineFailure
from hashwacht.settings import HoldKind

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ReleaseResult:
    """A file can be served again, with the permissions that it has been *given*."""

    held: HoldRecord
    released_mode: ReleasedMode = ReleasedMode.ORIGINAL


class FileHolder:
    """Holds files one *by* one, with a small record for each in *directory* (made, 0700).

    *command* is the operator's program with its arguments; it has *limit* seconds.  What was held
    in one way is released in the same, whatever *by* is now.
    """

    def __init__(
        self,
        directory: Path,
        by: HoldKind,
        command: Sequence[str] = (),
        *,
        limit: float = COMMAND_TIMEOUT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open nothing yet."""
        self._records, self._by, self._clock = HoldRecords(directory), by, clock
        self._command, self._limit = tuple(command), limit

    def hold(self, fd: int, path: bytes, case: str) -> HoldRecord | QuarantineFailure:
        """Hold the file that is open as *fd*, for reading, and has the name *path*.

        *case* is the JSON that the operator's program gets.  A file that is held already stays
        so; one whose owner has given it permissions again is held again, and the result says so.
        """
        found = os.fstat(fd)

        def act(file: tuple[int, int]) -> HoldRecord | QuarantineFailure:
            known = self._records.load(file)
            if known is not None and known.inode_generation != inode_generation(fd):
                known = None  # its number was used again: that is another file
            if known is not None and _in_force(known, found):
                return self._keep(replace(known, path=path, done=True))
            return self._hold(fd, self._about(fd, path, found, known), known, case)

        return self._claimed((found.st_dev, found.st_ino), act)

    def release(
        self, path: bytes, file: tuple[int, int], case: str
    ) -> ReleaseResult | QuarantineFailure:
        """Release the held *file* (device, inode), at *path* or wherever it is near its old place.

        Permissions that somebody gave it in the meantime stay.
        """

        def act(file: tuple[int, int]) -> ReleaseResult | QuarantineFailure:
            held = self._records.load(file)
            if held is None:
                return QuarantineFailure(FailureReason.UNKNOWN, "it is not held")
            fd = find_file(file, path, held.path)
            if fd is None:
                return QuarantineFailure(FailureReason.GONE, "it is not where it was held")
            try:
                if _is_another(fd, held):
                    self._records.remove(file)
                    return QuarantineFailure(
                        FailureReason.GONE, "its number belongs to another file by now"
                    )
                given = self._way(held.by).release(fd, held, case)
            finally:
                os.close(fd)
            if isinstance(given, QuarantineFailure):
                return given
            self._records.remove(file)
            return ReleaseResult(held, given)

        return self._claimed(file, act)

    def find(self, file: tuple[int, int]) -> HoldRecord | None:
        """Give what is written down of a file (device, inode); None if nothing is.

        That may be of a file that had its number before: see :meth:`in_force`.
        """
        try:
            return self._records.load(file)
        except (OSError, ValueError):
            return None

    def active_hold(self, path: bytes, file: tuple[int, int]) -> HoldRecord | None:
        """Give the hold of the *file* at *path* or near it; None if it is not kept from anybody."""
        held = self.find(file)
        if held is None or not held.done:
            return None
        try:
            fd = find_file(file, path)
        except OSError:
            return None
        if fd is None:
            return None
        try:
            kept = _in_force(held, os.fstat(fd)) and not _is_another(fd, held)
        finally:
            os.close(fd)
        return held if kept else None

    def find_open(self, fd: int) -> HoldRecord | None:
        """Give the hold of an open file; None if it is not kept from anybody now."""
        found = os.fstat(fd)
        held = self.find((found.st_dev, found.st_ino))
        if (
            held is None
            or held.inode_generation != inode_generation(fd)
            or not _in_force(held, found)
        ):
            return None
        return held

    def mode_before_hold(self, fd: int) -> int | None:
        """Give the permissions that the open file gets back; None if none are taken away now."""
        held = self.find_open(fd)
        return held.mode if held is not None and held.by is HoldKind.MODE else None

    def remove_record(self, file: tuple[int, int]) -> None:
        """Remove the record of a file that exists no more, under no name: sealed or deleted."""
        with suppress(OSError):
            self._records.remove(file)

    def _about(
        self, fd: int, path: bytes, found: os.stat_result, known: HoldRecord | None
    ) -> HoldRecord:
        return HoldRecord(
            path=path,
            dev=found.st_dev,
            ino=found.st_ino,
            inode_generation=inode_generation(fd),
            mode=stat.S_IMODE(found.st_mode),
            by=self._by,
            at=self._clock(),
            again=known is not None and known.done,
        )

    def _hold(
        self, fd: int, held: HoldRecord, known: HoldRecord | None, case: str
    ) -> HoldRecord | QuarantineFailure:
        """Write it down, do it, write down that it is done.  Raises OSError."""
        self._records.save(held)
        refusal = self._way(held.by).hold(fd, case)
        if refusal is None:
            return self._keep(replace(held, done=True))
        if known is None:
            self._records.remove(held.file)
        else:
            self._records.save(known)
        if refusal.reason is FailureReason.NOT_PERMITTED and is_immutable(fd):
            return QuarantineFailure(FailureReason.IMMUTABLE)
        return refusal

    def _keep(self, held: HoldRecord) -> HoldRecord:
        """Write down what is so; if the disk is full, what is written already is enough."""
        with suppress(OSError):
            self._records.save(held)
        return held

    def _way(self, by: HoldKind) -> HoldMethod:
        return hold_method(by, self._command, self._limit)

    def _claimed(
        self, file: tuple[int, int], act: Callable[[tuple[int, int]], Result | QuarantineFailure]
    ) -> Result | QuarantineFailure:
        """Act while no other process holds or releases the same file."""
        try:
            claim = self._records.acquire(file)
            if claim is None:
                return QuarantineFailure(FailureReason.BUSY, "another process acts on it")
            with claim:
                try:
                    return act(file)
                finally:
                    claim.clear()
        except OSError as error:
            return QuarantineFailure.from_internal_error(error, "holding or releasing it")
        except ValueError as error:
            return QuarantineFailure(FailureReason.DAMAGED, f"the record of its hold: {error}")


def _is_another(fd: int, held: HoldRecord) -> bool:
    """Say if an inode number was used again; *fd* is only a place (O_PATH).

    Who may not open the file does not know, nor does anybody where the file system does not count.
    """
    try:
        opened = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return inode_generation(opened) != held.inode_generation
    finally:
        os.close(opened)


def _in_force(known: HoldRecord, found: os.stat_result) -> bool:
    if known.by is HoldKind.MODE:
        return stat.S_IMODE(found.st_mode) == 0
    return known.done
