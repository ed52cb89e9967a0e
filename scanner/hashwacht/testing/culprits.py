"""A Fingerprinter that does to its process what its content says: for tests of worker pools.

Runs where ``InProcess`` does (``WorkerPool(…, maker="hashwacht.testing.culprits:Culprits")``).
A content that begins with one of the words of :class:`Deed` is that deed, others are hashed.
With digests alone in the plan only ``always-`` deeds are done, as a decoder's faults would not
appear there.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from enum import StrEnum

from hashwacht.fingerprint.plan import Plan
from hashwacht.signal_types import BUILT_IN
from hashwacht.types import Fingerprint, Signal

ALWAYS = b"always-"


class Deed(StrEnum):
    """What a content can do."""

    DAWDLE = "dawdle"
    DIE = "die"
    HANG = "hang"
    SPIN = "spin"
    BLOAT = "bloat"
    HOARD = "hoard"
    RAISE = "raise"
    REFUSE = "refuse"
    CHATTER = "chatter"
    SPAWN = "spawn"


class Culprits:
    """Gives digests as they are and every other wanted type as zeros."""

    def __init__(self, plan: Plan) -> None:
        self._types = [BUILT_IN[name] for name in plan.types]
        self._decodes = any(each.perceptual for each in self._types)
        self._hoard: list[bytes] = []

    @property
    def recipe(self) -> tuple[str, ...]:
        """Every type of the plan."""
        return tuple(f"{each.name}/{each.version}" for each in self._types)

    def fingerprint(self, fd: int) -> Fingerprint:
        """Do what the content says."""
        running = {name: hashlib.new(name) for name in ("md5", "sha1", "sha256")}
        size, head = 0, b""
        while chunk := os.read(fd, 1 << 20):
            size, head = size + len(chunk), head or chunk
            for each in running.values():
                each.update(chunk)
            if head.startswith(Deed.DAWDLE.encode()):
                time.sleep(0.2)
        if self._decodes or head.startswith(ALWAYS):
            self._do(head.removeprefix(ALWAYS))
        return Fingerprint(
            key=running["sha256"].hexdigest(),
            size=size,
            kind="application/x-test",
            recipe=self.recipe,
            signals=tuple(
                Signal(each.name, "0" * (each.bits // 4), 100)
                if each.perceptual
                else Signal(each.name, running[each.name].hexdigest())
                for each in self._types
            ),
        )

    def close(self) -> None:
        """Nothing to give back."""

    def _do(self, head: bytes) -> None:
        deeds: dict[Deed, Callable[[], object]] = {
            Deed.DIE: lambda: os.kill(os.getpid(), signal.SIGSEGV),
            Deed.HANG: lambda: time.sleep(3600),
            Deed.SPIN: _spin,
            Deed.BLOAT: lambda: bytearray(4 << 30),
            Deed.HOARD: lambda: self._hoard.append(b"\1" * (100 << 20)),
            Deed.RAISE: _fail,
            Deed.REFUSE: _refuse,
            Deed.CHATTER: _chatter,
            Deed.SPAWN: _spawn,
        }
        for deed, do in deeds.items():
            if head.startswith(deed.encode()):
                do()


def _spin() -> None:
    while True:
        pass


def _fail() -> None:
    raise RuntimeError("a decoder's surprise\n")


def _refuse() -> None:
    raise OSError(5, "as a broken disk would say")


def _chatter() -> None:
    """Write an answer that nobody asked for into every open socket."""
    for fd in range(3, 64):
        try:
            os.write(fd, b"\0" * 4096)
        except OSError:
            continue


def _spawn() -> None:
    """Leave a program behind in a session of its own, then die."""
    subprocess.Popen(["sleep", "3600"], start_new_session=True)  # noqa: S607 - in every PATH
    os.kill(os.getpid(), signal.SIGKILL)
