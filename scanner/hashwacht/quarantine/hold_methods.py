"""The two methods of holding a file, by mode or by command, and the record of what one removed."""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from hashwacht.core import paths
from hashwacht.platform import atomic
from hashwacht.platform.locks import EntryLock
from hashwacht.platform.safe_open import chmod, reopen_read_only
from hashwacht.platform.subprocess import run_program
from hashwacht.quarantine.attributes import JsonFields
from hashwacht.quarantine.failures import ActionFailure, FailureReason
from hashwacht.settings import HoldKind

_MAX_RECORD_SIZE = 64 * 1024
_VERSION = 1


@dataclass(frozen=True, slots=True)
class HoldRecord:
    """A held file, identified by device and inode number.

    *mode* are the permission bits to restore.  *inode_generation* distinguishes it from a later
    file with the same inode number; None where the file system has none.  *done* is False until
    the file is held.  *again*: it was held before, and its owner had restored permissions, which
    are *mode* then.
    """

    path: bytes
    dev: int
    ino: int
    inode_generation: int | None
    mode: int
    by: HoldKind
    at: float
    done: bool = False
    again: bool = False

    @property
    def file(self) -> tuple[int, int]:
        """Device and inode number."""
        return self.dev, self.ino

    def to_json(self) -> bytes:
        """Return the content of the record file."""
        fields = {
            "version": _VERSION,
            **paths.to_json(self.path),
            "dev": self.dev,
            "ino": self.ino,
            "generation": self.inode_generation,
            "mode": f"{self.mode:04o}",
            "by": self.by,
            "at": self.at,
            "done": self.done,
            "again": self.again,
        }
        return json.dumps(fields).encode("ascii") + b"\n"

    @classmethod
    def from_json(cls, text: bytes) -> HoldRecord:
        """Return the hold in *text*.  Raises ValueError if it is damaged."""
        fields = JsonFields.parse(text)
        if (version := fields.integer("version")) != _VERSION:
            raise ValueError(f"unsupported hold version {version}")
        return cls(
            path=fields.path(),
            dev=fields.integer("dev"),
            ino=fields.integer("ino"),
            inode_generation=fields.integer("generation") if fields.has("generation") else None,
            mode=fields.mode("mode"),
            by=HoldKind(fields.string("by")),
            at=fields.number("at"),
            done=fields.boolean("done"),
            again=fields.boolean("again"),
        )


class HoldRecords:
    """All holds: a small file for each in *directory*, which the first hold creates, mode 0700."""

    __slots__ = ("_directory",)

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def acquire(self, file: tuple[int, int]) -> EntryLock | None:
        """Lock the hold of *file*; None if another process has locked it.  Raises OSError."""
        atomic.make_directory(self._directory)
        return EntryLock.acquire(self._path(file).with_suffix(".lock"))

    def load(self, file: tuple[int, int]) -> HoldRecord | None:
        """Return the hold of *file*; None if there is none.  Raises OSError, ValueError."""
        try:
            with self._path(file).open("rb") as source:
                return HoldRecord.from_json(source.read(_MAX_RECORD_SIZE))
        except FileNotFoundError:
            return None

    def save(self, hold: HoldRecord) -> None:
        """Write or replace a hold durably.  Raises OSError."""
        atomic.write(self._path(hold.file), hold.to_json())

    def remove(self, file: tuple[int, int]) -> None:
        """Remove the hold of *file* if there is one.  Raises OSError."""
        if self._directory.is_dir():
            atomic.remove(self._path(file))

    def _path(self, file: tuple[int, int]) -> Path:
        return self._directory / "{}-{}.json".format(*file)


COMMAND_TIMEOUT = 30.0
"""Seconds that the operator's program may take."""

_SET_ID = stat.S_ISUID | stat.S_ISGID


class ReleasedMode(StrEnum):
    """The permissions with which a file was released."""

    ORIGINAL = "its-own"
    """Those that the hold had removed."""
    ALREADY_CHANGED = "others"
    """Others that were set in the meantime, and stay."""
    REDUCED = "less"
    """The original ones without set-user-id or set-group-id, which this process may not set."""


def remove_permissions(fd: int) -> ActionFailure | None:
    """Remove all permissions of an open file, or return why that failed."""
    try:
        os.fchmod(fd, 0)
        os.fsync(fd)
    except OSError as error:
        return ActionFailure.from_error(error, "removing its permissions")
    return None


def restore_permissions(fd: int, original: int) -> ReleasedMode:
    """Restore the permissions of *fd* (O_PATH).  Raises OSError, and then has no effect."""
    mode = _mode(fd)
    if mode not in (0, original):
        return ReleasedMode.ALREADY_CHANGED
    if mode != original:
        _set_mode(fd, original)
        _sync(fd)
    return ReleasedMode.ORIGINAL if _mode(fd) == original else ReleasedMode.REDUCED


@dataclass(frozen=True, slots=True)
class HoldCommand:
    """The operator's program with its arguments, which has *limit* seconds."""

    program: tuple[str, ...]
    limit: float

    def run(self, verb: str, fd: int, case: str) -> ActionFailure | None:
        """Hold or release (*verb*) the file of *fd*, or return why that failed."""
        if not self.program:
            return ActionFailure(FailureReason.COMMAND_FAILED, "hold.command is not set")
        try:
            result = run_program((*self.program, verb), case.encode(), self.limit, file=fd)
        except OSError as error:
            return ActionFailure(FailureReason.COMMAND_FAILED, f"{verb}: {error.strerror}")
        if result.code == 0:
            return None
        return ActionFailure(FailureReason.COMMAND_FAILED, f"{verb}: the command {result}")


def _mode(fd: int) -> int:
    return stat.S_IMODE(os.fstat(fd).st_mode)


def _set_mode(fd: int, mode: int) -> None:
    """Restore the permissions of a file, if need be without set-user-id and set-group-id.

    RestrictSUIDSGID= (systemd.exec(5)) forbids setting these two, and without CAP_FSETID the
    kernel silently drops set-group-id (chmod(2)).
    """
    try:
        chmod(fd, mode)
    except PermissionError:
        if not mode & _SET_ID:
            raise
        chmod(fd, mode & ~_SET_ID)


def _sync(fd: int) -> None:
    """Make the mode durable before the hold is removed, if this process may open the file."""
    with suppress(OSError):
        opened = reopen_read_only(fd)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
