"""Holding a file in place so that it cannot be served, and releasing it exactly as it was.

*By mode*: all permissions are removed through the descriptor that was judged, and the file is taken
from its owner, who could restore them (chmod(2) is for owners).  No other user can open it then,
under any of its names; programs that run as root, and those that have it open, still can.  A
process without CAP_CHOWN leaves the owner: then attribute events are what has the file held again.
*By command*: a program of the operator's keeps the file from being served.

What a hold removes is recorded durably first.  Both actions may be repeated, and end as a value:
the result, or a failure after which everything is as it was before.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from hashwacht.platform.filesystems.file_handles import open_handle, read_handle
from hashwacht.platform.safe_open import find_file, reopen_read_only
from hashwacht.platform.syscalls import inode_generation, is_immutable
from hashwacht.quarantine.failures import ActionFailure, FailureReason
from hashwacht.quarantine.hold_methods import (
    COMMAND_TIMEOUT,
    HoldCommand,
    HoldRecord,
    HoldRecords,
    ReleasedMode,
    block_access,
    capability_of,
    is_in_force,
    owner_before,
    restore_access,
)
from hashwacht.settings import HoldKind

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ReleaseResult:
    """The file of *hold* can be served again; *released_mode* says with which permissions."""

    hold: HoldRecord
    released_mode: ReleasedMode = ReleasedMode.ORIGINAL


class FileHolder:
    """Holds files by *kind*, with a small record for each in *directory* (created, mode 0700).

    *command* is the operator's program with its arguments; it has *limit* seconds.  A file is
    released by the method that held it, whatever *kind* is now.
    """

    def __init__(
        self,
        directory: Path,
        kind: HoldKind,
        command: Sequence[str] = (),
        *,
        limit: float = COMMAND_TIMEOUT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._records, self._kind, self._clock = HoldRecords(directory), kind, clock
        self._command = HoldCommand(tuple(command), limit)

    def hold(
        self, fd: int, path: bytes, case: str, *, kind: HoldKind | None = None
    ) -> HoldRecord | ActionFailure:
        """Hold the file that is open for reading as *fd* and has the name *path*.

        *case* is JSON for the operator's program.  A file that is held already stays so; one
        whose owner has restored permissions is held again, and the record says so.  *kind*
        replaces the configured one.
        """
        status = os.fstat(fd)

        def act(file: tuple[int, int]) -> HoldRecord | ActionFailure:
            known = self._records.load(file)
            if known is not None and known.inode_generation != inode_generation(fd):
                known = None  # the inode number was reused by another file
            if known is not None and is_in_force(known, status):
                return self._record(replace(known, path=path, done=True))
            intent = self._intent(fd, path, status, known)
            return self._hold(fd, replace(intent, by=kind or self._kind), known, case)

        return self._with_lock((status.st_dev, status.st_ino), act)

    def release(
        self, path: bytes, file: tuple[int, int], case: str
    ) -> ReleaseResult | ActionFailure:
        """Release the held *file* (device, inode), wherever it is now.

        Without handles it is looked for at *path* and in the directory of its hold only.

        Permissions that were set in the meantime stay.
        """

        def act(file: tuple[int, int]) -> ReleaseResult | ActionFailure:
            hold = self._records.load(file)
            if hold is None:
                return ActionFailure(FailureReason.UNKNOWN, "it is not held")
            fd = _open_held(hold, path)
            if fd is None:
                return ActionFailure(FailureReason.GONE, "it was moved or removed while held")
            try:
                if _is_reused(fd, hold):
                    self._records.remove(file)
                    detail = "another file has its inode number now"
                    return ActionFailure(FailureReason.GONE, detail)
                mode = self._undo(hold, fd, case)
            finally:
                os.close(fd)
            if isinstance(mode, ActionFailure):
                return mode
            self._records.remove(file)
            return ReleaseResult(hold, mode)

        return self._with_lock(file, act)

    def find(self, file: tuple[int, int]) -> HoldRecord | None:
        """Return the record of a file (device, inode), None if there is none.

        It may describe an earlier file with the same inode number: see :meth:`active_hold`.
        """
        try:
            return self._records.load(file)
        except (OSError, ValueError):
            return None

    def active_hold(self, path: bytes, file: tuple[int, int]) -> HoldRecord | None:
        """Return the hold of the *file* at *path* or near it; None if it is not in force."""
        hold = self.find(file)
        if hold is None or not hold.done:
            return None
        try:
            fd = find_file(file, path)
        except OSError:
            return None
        if fd is None:
            return None
        try:
            in_force = is_in_force(hold, os.fstat(fd)) and not _is_reused(fd, hold)
        finally:
            os.close(fd)
        return hold if in_force else None

    def find_open(self, fd: int) -> HoldRecord | None:
        """Return the hold of an open file; None if none is in force."""
        status = os.fstat(fd)
        hold = self.find((status.st_dev, status.st_ino))
        if hold is None or hold.inode_generation != inode_generation(fd):
            return None
        return hold if is_in_force(hold, status) else None

    def find_undoable(self) -> Iterator[HoldRecord]:
        """Yield the holds that the owner could undo, who still owns the file."""
        for hold in self._records.load_all():
            if hold.done and hold.by is HoldKind.MODE and hold.uid is None:
                with suppress(OSError):
                    status = os.lstat(hold.path)
                    is_file = (status.st_dev, status.st_ino) == hold.file
                    if is_file and status.st_uid not in (0, os.geteuid()):
                        yield hold

    def open_held(self, path: bytes, file: tuple[int, int]) -> int | None:
        """Open a held file (device, inode) for reading, wherever it is; None if it is not found."""
        hold = self.find(file)
        try:
            fd = None if hold is None else _open_held(hold, path)
            if fd is None:
                return None
            try:
                return reopen_read_only(fd)
            finally:
                os.close(fd)
        except OSError:
            return None

    def remove_record(self, file: tuple[int, int]) -> None:
        """Remove the record of a file that no longer exists: it was sealed or deleted."""
        with suppress(OSError):
            self._records.remove(file)

    def _intent(
        self, fd: int, path: bytes, status: os.stat_result, known: HoldRecord | None
    ) -> HoldRecord:
        """Return what to record first; a hold that was interrupted knows what it removed."""
        mode, is_taken = stat.S_IMODE(status.st_mode), status.st_uid == os.geteuid()
        return HoldRecord(
            path=path,
            dev=status.st_dev,
            ino=status.st_ino,
            inode_generation=inode_generation(fd),
            mode=known.mode if known is not None and not mode else mode,
            by=self._kind,
            at=self._clock(),
            again=known is not None and known.done,
            uid=owner_before(status, known),
            capability=known.capability if known is not None and is_taken else capability_of(fd),
            handle=read_handle(fd),
        )

    def _hold(
        self, fd: int, hold: HoldRecord, known: HoldRecord | None, case: str
    ) -> HoldRecord | ActionFailure:
        """Record the intent, hold the file, record that it is held.  Raises OSError."""
        self._records.save(hold)
        result = block_access(fd, hold) if hold.by is HoldKind.MODE else self._run(fd, hold, case)
        if isinstance(result, HoldRecord):
            return self._record(replace(result, done=True))
        if known is None:
            self._records.remove(hold.file)
        else:
            self._records.save(known)
        if result.reason is FailureReason.NOT_PERMITTED and is_immutable(fd):
            return ActionFailure(FailureReason.IMMUTABLE)
        return result

    def _run(self, fd: int, hold: HoldRecord, case: str) -> HoldRecord | ActionFailure:
        """Hold a file by the operator's program, which leaves its owner."""
        failure = self._command.run("hold", fd, case)
        return replace(hold, uid=None, capability=b"") if failure is None else failure

    def _undo(self, hold: HoldRecord, fd: int, case: str) -> ReleasedMode | ActionFailure:
        if hold.by is HoldKind.MODE:
            return restore_access(fd, hold)
        return self._command.run("release", fd, case) or ReleasedMode.ORIGINAL

    def _record(self, hold: HoldRecord) -> HoldRecord:
        """Save the hold; on a full disk the record that exists already is enough."""
        with suppress(OSError):
            self._records.save(hold)
        return hold

    def _with_lock(
        self, file: tuple[int, int], action: Callable[[tuple[int, int]], Result | ActionFailure]
    ) -> Result | ActionFailure:
        """Act under the lock of one file, and turn errors into failures."""
        try:
            lock = self._records.acquire(file)
            if lock is None:
                return ActionFailure(FailureReason.BUSY, "another process holds or releases it")
            with lock:
                try:
                    return action(file)
                finally:
                    lock.clear()
        except OSError as error:
            return ActionFailure.from_internal_error(error, "holding or releasing it")
        except ValueError as error:
            return ActionFailure(FailureReason.DAMAGED, f"the record of its hold: {error}")


def _is_reused(fd: int, hold: HoldRecord) -> bool:
    """Return True if the inode number belongs to another file now; *fd* is O_PATH.

    False if this process may not open the file, or the file system has no inode generations.
    """
    try:
        opened = reopen_read_only(fd)
    except OSError:
        return False
    try:
        return inode_generation(opened) != hold.inode_generation
    finally:
        os.close(opened)


def _open_held(hold: HoldRecord, path: bytes) -> int | None:
    """Return a descriptor (O_PATH) of a held file, None if it is not found.  Raises OSError."""
    fd = find_file(hold.file, path, hold.path)
    if fd is not None or not hold.handle:
        return fd
    for directory in dict.fromkeys((_directory(path), _directory(hold.path), b"/")):
        with suppress(OSError):
            mount = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fd = open_handle(mount, hold.handle, os.O_PATH | os.O_NOFOLLOW)
            finally:
                os.close(mount)
            status = os.fstat(fd)
            if (status.st_dev, status.st_ino) == hold.file and status.st_nlink:
                return fd
            os.close(fd)
    return None


def _directory(path: bytes) -> bytes:
    return path.rpartition(b"/")[0] or b"/"
