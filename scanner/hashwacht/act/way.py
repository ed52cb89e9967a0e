"""The two ways of holding a file."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from hashwacht.act.held import Held
from hashwacht.act.program import call
from hashwacht.act.refusal import Obstacle, Refusal
from hashwacht.settings import HoldKind

COMMAND_SECONDS = 30.0
"""How long the operator's program may take."""


class Way(Protocol):
    """How.  Only releasing raises OSError, if nothing was done."""

    def hold(self, fd: int, case: str) -> Refusal | None:
        """Hold the file open as *fd*; a refusal if it could not be held."""

    def release(self, fd: int, held: Held, case: str) -> bool | Refusal:
        """Release it; *fd* is only a place (O_PATH).  True if somebody had changed it meanwhile."""


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

    def release(self, fd: int, held: Held, case: str) -> bool | Refusal:
        del case
        mode = stat.S_IMODE(os.fstat(fd).st_mode)
        if mode == 0 and held.mode:
            os.chmod(f"/proc/self/fd/{fd}", held.mode)  # noqa: PTH101  # fchmod refuses O_PATH
            _sync(fd)
        return mode not in (0, held.mode)


@dataclass(frozen=True, slots=True)
class _ByCommand:
    command: tuple[str, ...]
    limit: float

    def hold(self, fd: int, case: str) -> Refusal | None:
        return self._call("hold", fd, case)

    def release(self, fd: int, held: Held, case: str) -> bool | Refusal:
        del held
        return self._call("release", fd, case) or False

    def _call(self, verb: str, fd: int, case: str) -> Refusal | None:
        if not self.command:
            return Refusal(Obstacle.COMMAND_FAILED, "hold.command names none")
        try:
            ended = call((*self.command, verb), case.encode(), fd, self.limit)
        except OSError as error:
            return Refusal(Obstacle.COMMAND_FAILED, f"{verb}: {error.strerror}")
        return None if ended.code == 0 else Refusal(Obstacle.COMMAND_FAILED, f"{verb}: {ended}")


def _sync(fd: int) -> None:
    """Make the mode durable before the record of the hold goes, if we may open the file."""
    with suppress(OSError):
        opened = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
