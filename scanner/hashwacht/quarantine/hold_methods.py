"""The two methods of holding a file, by mode or by command, and the record of what one removed."""

from __future__ import annotations

import json
import os
import stat
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from hashwacht.core import paths
from hashwacht.platform import atomic
from hashwacht.platform.locks import EntryLock
from hashwacht.platform.safe_open import chmod, chown, reopen_read_only
from hashwacht.platform.subprocess import run_program
from hashwacht.quarantine.attributes import FileAttributes, JsonFields
from hashwacht.quarantine.failures import ActionFailure, FailureReason
from hashwacht.settings import HoldKind

_MAX_RECORD_SIZE = 64 * 1024
_VERSION = 2
"""Version 1 has no owner, capability and handle."""

_CAPABILITY = b"security.capability"
"""The extended attribute that a change of the owner removes (capabilities(7))."""


@dataclass(frozen=True, slots=True)
class HoldRecord:
    """A held file, identified by device and inode number.

    *mode* are the permission bits to restore, *uid* is the owner, None if the owner was not
    changed, *capability* what that change removed.  *inode_generation* distinguishes it from a
    later file with the same inode number; None where the file system has none.  *handle* opens it
    whatever its name is.  *done* is False until the file is held.  *again*: it was held before,
    and its owner had restored permissions, which are *mode* then.
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
    uid: int | None = None
    capability: bytes = b""
    handle: bytes = b""

    @property
    def file(self) -> tuple[int, int]:
        """Device and inode number."""
        return self.dev, self.ino

    def attributes_before(self, attributes: FileAttributes) -> FileAttributes:
        """Return the attributes of the held file with those that the hold has changed undone."""
        xattrs = dict(attributes.xattrs)
        if self.capability:
            xattrs[_CAPABILITY] = self.capability
        uid = attributes.uid if self.uid is None else self.uid
        return replace(attributes, mode=self.mode, uid=uid, xattrs=tuple(sorted(xattrs.items())))

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
            "uid": self.uid,
            "capability": b64encode(self.capability).decode("ascii"),
            "handle": b64encode(self.handle).decode("ascii"),
        }
        return json.dumps(fields).encode("ascii") + b"\n"

    @classmethod
    def from_json(cls, text: bytes) -> HoldRecord:
        """Return the hold in *text*.  Raises ValueError if it is damaged."""
        fields = JsonFields.parse(text)
        if not 1 <= (version := fields.integer("version")) <= _VERSION:
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
            uid=fields.integer("uid") if fields.has("uid") else None,
            capability=fields.base64_bytes("capability") if version > 1 else b"",
            handle=fields.base64_bytes("handle") if version > 1 else b"",
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

    def load_all(self) -> Iterator[HoldRecord]:
        """Yield all readable holds."""
        for path in self._directory.glob("*.json"):
            with suppress(OSError, ValueError):
                yield HoldRecord.from_json(path.read_bytes())

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
    """The original ones without set-user-id, set-group-id or capabilities, which this process may
    not set."""


def owner_before(status: os.stat_result, known: HoldRecord | None) -> int | None:
    """Return the owner that a hold takes the file from; None if it is this process's user."""
    own = os.geteuid()
    if status.st_uid != own:
        return status.st_uid
    return None if known is None else known.uid


def capability_of(fd: int) -> bytes:
    """Return the capabilities of an open file, empty if it has none."""
    try:
        return os.getxattr(fd, _CAPABILITY)
    except OSError:
        return b""


def block_access(fd: int, hold: HoldRecord) -> HoldRecord | ActionFailure:
    """Remove all permissions of an open file, and its owner, who could restore them.

    Returns the hold as it is in force: its *uid* is None if this process may not change the owner
    (CAP_CHOWN), or the file system has none.  A file without permissions is held even if a
    failing disk does not record that: its record has the only copy of mode and owner.
    """
    try:
        os.fchmod(fd, 0)
    except OSError as error:
        return ActionFailure.from_error(error, "removing its permissions")
    if hold.uid is not None and not _take_from_owner(fd):
        hold = replace(hold, uid=None, capability=b"")
    with suppress(OSError):
        os.fsync(fd)
    return hold


def _take_from_owner(fd: int) -> bool:
    own = os.geteuid()
    with suppress(OSError):
        os.fchown(fd, own, -1)
    return os.fstat(fd).st_uid == own


def restore_access(fd: int, hold: HoldRecord) -> ReleasedMode:
    """Restore owner and permissions of *fd* (O_PATH).  Raises OSError; may be repeated then."""
    is_complete = True
    if hold.uid is not None and os.fstat(fd).st_uid == os.geteuid():
        chown(fd, hold.uid)
        is_complete = _restore_capability(fd, hold.capability)
    mode = _mode(fd)
    if mode not in (0, hold.mode):
        return ReleasedMode.ALREADY_CHANGED
    if mode != hold.mode:
        _set_mode(fd, hold.mode)
        _sync(fd)
    is_complete = is_complete and _mode(fd) == hold.mode
    return ReleasedMode.ORIGINAL if is_complete else ReleasedMode.REDUCED


def _restore_capability(fd: int, capability: bytes) -> bool:
    if capability:
        try:
            os.setxattr(f"/proc/self/fd/{fd}", _CAPABILITY, capability)
        except OSError:
            return False
    return True


def is_in_force(hold: HoldRecord, status: os.stat_result) -> bool:
    """Return True if the file is as its hold left it."""
    if hold.by is not HoldKind.MODE:
        return hold.done
    is_taken = hold.uid is None or status.st_uid != hold.uid
    return stat.S_IMODE(status.st_mode) == 0 and is_taken


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
