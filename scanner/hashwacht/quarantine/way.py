"""The two ways of holding a file."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from hashwacht.quarantine.held import Held
from hashwacht.platform.subprocess import call
from hashwacht.quarantine.results import Obstacle, Refusal
from hashwacht.settings import HoldKind

COMMAND_SECONDS = 30.0
"""How long the operator's program may take."""

_SET_ID = stat.S_ISUID | stat.S_ISGID


class Given(StrEnum):
    """With which permissions a file was released."""

    ITS_OWN = "its-own"
    """Those that holding had taken away."""
    OTHERS = "others"
    """Somebody had given it other ones already, and those were left."""
    LESS = "less"
    """Its own without set-user-id or set-group-id, which this process may not give."""


class Way(Protocol):
    """How.  Only releasing raises OSError, if nothing was done."""

    def hold(self, fd: int, case: str) -> Refusal | None:
        """Hold the file open as *fd*; a refusal if it could not be held."""

    def release(self, fd: int, held: Held, case: str) -> Given | Refusal:
        """Release it; *fd* is only a place (O_PATH)."""


def way(by: HoldKind, command: Sequence[str], limit: float) -> Way:
    """Give the way for a kind."""
    return _ByMode() if by is HoldKind.MODE else _ByCommand(tuple(command), limit)


class _ByMode:
    def hold(self, fd: int, case: str) -> Refusal | None:
        del case
        try:
            os.fchmod(fd, 0)
            os.fsync(fd)
        except OSError as error:
            return Refusal.of(error, "taking its permissions away")
        return None

    def release(self, fd: int, held: Held, case: str) -> Given | Refusal:
        del case
        found = _mode(fd)
        if found not in (0, held.mode):
            return Given.OTHERS
        if found != held.mode:
            _set_mode(fd, held.mode)
            _sync(fd)
        return Given.ITS_OWN if _mode(fd) == held.mode else Given.LESS


@dataclass(frozen=True, slots=True)
class _ByCommand:
    command: tuple[str, ...]
    limit: float

    def hold(self, fd: int, case: str) -> Refusal | None:
        return self._call("hold", fd, case)

    def release(self, fd: int, held: Held, case: str) -> Given | Refusal:
        del held
        return self._call("release", fd, case) or Given.ITS_OWN

    def _call(self, verb: str, fd: int, case: str) -> Refusal | None:
        if not self.command:
            return Refusal(Obstacle.COMMAND_FAILED, "hold.command names none")
        try:
            ended = call((*self.command, verb), case.encode(), fd, self.limit)
        except OSError as error:
            return Refusal(Obstacle.COMMAND_FAILED, f"{verb}: {error.strerror}")
        return None if ended.code == 0 else Refusal(Obstacle.COMMAND_FAILED, f"{verb}: {ended}")


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
