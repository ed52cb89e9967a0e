"""The two ways of holding a file.

What is known of a held file, so that releasing it gives back exactly what holding took.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from hashwacht.core import paths
from hashwacht.platform import atomic
from hashwacht.platform.locks import EntryLock
from hashwacht.platform.subprocess import run_program
from hashwacht.quarantine.attributes import JsonFields
from hashwacht.quarantine.results import FailureReason, QuarantineFailure
from hashwacht.settings import HoldKind

_LONGEST = 64 * 1024
_VERSION = 1


@dataclass(frozen=True, slots=True)
class HoldRecord:
    """A file, known by device and inode number, that cannot be served.

    *mode* are the permission bits that it gets back.  *generation* tells it from another file
    that got the same number later; None where the file system does not count.  *done* is False
    while it is only about to be held.  *again*: it was held before, and its owner had given it
    permissions again, which then are *mode*.
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
        """Write it."""
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
        """Read it.  Raises ValueError if that is none."""
        fields = JsonFields.parse(text)
        if (version := fields.integer("version")) != _VERSION:
            raise ValueError(f"version {version} of a hold is not known here")
        try:
            path = paths.from_json(fields.all())
        except (KeyError, TypeError) as error:
            raise ValueError(str(error)) from error
        return cls(
            path=path,
            dev=fields.integer("dev"),
            ino=fields.integer("ino"),
            inode_generation=fields.integer("generation") if fields.has("generation") else None,
            mode=int(fields.string("mode"), 8),
            by=HoldKind(fields.string("by")),
            at=fields.number("at"),
            done=fields.boolean("done"),
            again=fields.boolean("again"),
        )


class HoldRecords:
    """All holds, one small file for each in a directory of its own, 0700."""

    __slots__ = ("_directory",)

    def __init__(self, directory: Path) -> None:
        """*directory* is made with the first hold."""
        self._directory = directory

    def acquire(self, file: tuple[int, int]) -> EntryLock | None:
        """Claim the hold of *file* for this process; None if another has.  Raises OSError."""
        atomic.make_directory(self._directory)
        return EntryLock.acquire(self._path(file).with_suffix(".lock"))

    def load(self, file: tuple[int, int]) -> HoldRecord | None:
        """Give the hold of *file*; None if there is none.  Raises OSError, ValueError."""
        try:
            with self._path(file).open("rb") as source:
                return HoldRecord.from_json(source.read(_LONGEST))
        except FileNotFoundError:
            return None

    def save(self, held: HoldRecord) -> None:
        """Write or replace a hold, durable.  Raises OSError."""
        atomic.write(self._path(held.file), held.to_json())

    def remove(self, file: tuple[int, int]) -> None:
        """Forget a hold.  Raises OSError."""
        if self._directory.is_dir():
            atomic.remove(self._path(file))

    def _path(self, file: tuple[int, int]) -> Path:
        dev, ino = file
        return self._directory / f"{dev}-{ino}.json"


COMMAND_TIMEOUT = 30.0
"""How long the operator's program may take."""

_SET_ID = stat.S_ISUID | stat.S_ISGID


class ReleasedMode(StrEnum):
    """With which permissions a file was released."""

    ORIGINAL = "its-own"
    """Those that holding had taken away."""
    ALREADY_CHANGED = "others"
    """Somebody had given it other ones already, and those were left."""
    REDUCED = "less"
    """Its own without set-user-id or set-group-id, which this process may not give."""


class HoldMethod(Protocol):
    """How.  Only releasing raises OSError, if nothing was done."""

    def hold(self, fd: int, case: str) -> QuarantineFailure | None:
        """Hold the file open as *fd*; a refusal if it could not be held."""

    def release(self, fd: int, held: HoldRecord, case: str) -> ReleasedMode | QuarantineFailure:
        """Release it; *fd* is only a place (O_PATH)."""


def hold_method(by: HoldKind, command: Sequence[str], limit: float) -> HoldMethod:
    """Give the way for a kind."""
    return _ByMode() if by is HoldKind.MODE else _ByCommand(tuple(command), limit)


class _ByMode:
    def hold(self, fd: int, case: str) -> QuarantineFailure | None:
        del case
        try:
            os.fchmod(fd, 0)
            os.fsync(fd)
        except OSError as error:
            return QuarantineFailure.from_error(error, "taking its permissions away")
        return None

    def release(self, fd: int, held: HoldRecord, case: str) -> ReleasedMode | QuarantineFailure:
        del case
        found = _mode(fd)
        if found not in (0, held.mode):
            return ReleasedMode.ALREADY_CHANGED
        if found != held.mode:
            _set_mode(fd, held.mode)
            _sync(fd)
        return ReleasedMode.ORIGINAL if _mode(fd) == held.mode else ReleasedMode.REDUCED


@dataclass(frozen=True, slots=True)
class _ByCommand:
    command: tuple[str, ...]
    limit: float

    def hold(self, fd: int, case: str) -> QuarantineFailure | None:
        return self._call("hold", fd, case)

    def release(self, fd: int, held: HoldRecord, case: str) -> ReleasedMode | QuarantineFailure:
        del held
        return self._call("release", fd, case) or ReleasedMode.ORIGINAL

    def _call(self, verb: str, fd: int, case: str) -> QuarantineFailure | None:
        if not self.command:
            return QuarantineFailure(FailureReason.COMMAND_FAILED, "hold.command names none")
        try:
            ended = run_program((*self.command, verb), case.encode(), self.limit, file=fd)
        except OSError as error:
            return QuarantineFailure(FailureReason.COMMAND_FAILED, f"{verb}: {error.strerror}")
        return (
            None
            if ended.code == 0
            else QuarantineFailure(FailureReason.COMMAND_FAILED, f"{verb}: the command {ended}")
        )


def _mode(fd: int) -> int:
    return stat.S_IMODE(os.fstat(fd).st_mode)


def _set_mode(fd: int, mode: int) -> None:
    """Give a file its permissions, or at least those of them that let it be served.

    RestrictSUIDSGID= (systemd.exec(5)) forbids to set the other two, and without CAP_FSETID the
    kernel leaves out set-group-id without saying so (chmod(2)).
    """
    path = f"/proc/self/fd/{fd}"  # fchmod(2) refuses O_PATH
    try:
        os.chmod(path, mode)  # noqa: PTH101  # no path of ours
    except PermissionError:
        if not mode & _SET_ID:
            raise
        os.chmod(path, mode & ~_SET_ID)  # noqa: PTH101  # the same


def _sync(fd: int) -> None:
    """Make the mode durable before the record of the hold goes, if we may open the file."""
    with suppress(OSError):
        opened = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
