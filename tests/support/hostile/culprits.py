"""A worker task that misbehaves as the content demands, for tests of worker pools.

It replaces the real task (``WorkerPool(…, task_factory="support.hostile.culprits:Culprits")``).
A content that begins with a word of :class:`Deed` triggers that deed; others are hashed.  Deeds
happen where a decoder would run, ``always-`` deeds already where digests are computed, and a
program is started only where programs may run.
"""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from hashwacht.core.ports import SignalType
from hashwacht.core.signals import BUILT_IN, TextSignalType
from hashwacht.core.types import Fingerprint, Signal
from hashwacht.hashing import Plan
from hashwacht.hashing.workers.protocol import ANSWER, PictureResult, WorkerKind
from hashwacht.hashing.workers.tasks import TaskResult, worker_plan

ALWAYS = b"always-"


class Deed(StrEnum):
    """The misbehaviour that a content can trigger."""

    DAWDLE = "dawdle"
    DIE = "die"
    HANG = "hang"
    PRETEND = "pretend"
    SPIN = "spin"
    BLOAT = "bloat"
    HOARD = "hoard"
    RAISE = "raise"
    REFUSE = "refuse"
    CHATTER = "chatter"
    FLOOD = "flood"
    LIE = "lie"
    SPAWN = "spawn"
    BREAK_OUT = "break out"


_ELSEWHERE = {Deed.REFUSE: WorkerKind.DIGESTS, Deed.SPAWN: WorkerKind.COMMANDS}


class Culprits:
    """Returns real digests, and zeros for every other requested type."""

    def __init__(self, plan: Plan, worker_kind: WorkerKind) -> None:
        commands = {name: TextSignalType(name) for name, _ in plan.commands}
        types: Mapping[str, SignalType] = {**BUILT_IN, **commands}
        self._types = [types[name] for name in worker_plan(plan, worker_kind).types]
        self._attempt = worker_kind
        self._hoard: list[bytes] = []

    def run(self, fd: int) -> TaskResult:
        """Do what the content demands."""
        if self._attempt is WorkerKind.DIGESTS:
            return self._digest(fd)
        content = os.pread(fd, 1 << 10, 0)
        self._do(content, fd)
        zeros = (
            Signal(signal_type.name, "0" * (signal_type.bits // 4 or 1), 100)
            for signal_type in self._types
        )
        return PictureResult(tuple(zeros), (), damaged=False), None

    def _digest(self, fd: int) -> TaskResult:
        running = {name: hashlib.new(name) for name in ("md5", "sha1", "sha256")}
        copy = os.memfd_create("content")
        size, head = 0, b""
        while chunk := os.read(fd, 1 << 20):
            size, head = size + len(chunk), head or chunk
            for hasher in running.values():
                hasher.update(chunk)
            if head.startswith(Deed.DAWDLE.encode()):
                time.sleep(0.2)
        os.write(copy, head[: 1 << 10])
        self._do(head.removeprefix(ALWAYS) if head.startswith(ALWAYS) else head, fd)
        fingerprint = Fingerprint(
            key=running["sha256"].hexdigest(),
            size=size,
            kind="application/x-test",
            recipe=(),
            signals=tuple(Signal(e.name, running[e.name].hexdigest()) for e in self._types),
        )
        return fingerprint, copy

    def _do(self, head: bytes, fd: int) -> None:
        deeds: dict[Deed, Callable[[], object]] = {
            Deed.DIE: lambda: os.kill(os.getpid(), signal.SIGSEGV),
            Deed.HANG: lambda: time.sleep(3600),
            Deed.PRETEND: lambda: _pretend(fd),
            Deed.SPIN: _spin,
            Deed.BLOAT: lambda: bytearray(4 << 30),
            Deed.HOARD: lambda: self._hoard.append(b"\1" * (100 << 20)),
            Deed.RAISE: _fail,
            Deed.REFUSE: _refuse,
            Deed.CHATTER: _chatter,
            Deed.FLOOD: _flood,
            Deed.LIE: _lie,
            Deed.SPAWN: _spawn,
            Deed.BREAK_OUT: lambda: _break_out(head.removeprefix(b"break out ").decode(), fd),
        }
        for deed, do in deeds.items():
            here = self._attempt is _ELSEWHERE.get(deed, WorkerKind.PICTURE)
            if head.startswith(deed.encode()) and (here or self._always(fd)):
                do()

    def _always(self, fd: int) -> bool:
        return self._attempt is WorkerKind.DIGESTS and os.pread(fd, len(ALWAYS), 0) == ALWAYS


def _spin() -> None:
    while True:
        pass


def _fail() -> None:
    raise RuntimeError("a decoder's surprise\n")


def _refuse() -> None:
    raise OSError(5, "as a broken disk reports")


def _chatter() -> None:
    """Write an unsolicited answer into every open socket."""
    for fd in _sockets():
        os.write(fd, b"\0" * 4096)


def _spawn() -> None:
    """Start a program in a session of its own, then die."""
    subprocess.Popen(["sleep", "3600"], start_new_session=True)
    os.kill(os.getpid(), signal.SIGKILL)


def _sockets() -> list[int]:
    """Return the sockets that are open, one of which leads to the scanner."""
    sockets = []
    for fd in range(3, 64):
        with suppress(OSError):
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                sockets.append(fd)
    return sockets


def _pretend(fd: int) -> None:
    """Move the offset of the content, so that it seems to be read."""
    for offset in range(1 << 30):
        os.lseek(fd, offset, os.SEEK_SET)
        time.sleep(0.05)


def _flood() -> None:
    """Send an endless answer."""
    for fd in _sockets():
        os.write(fd, ANSWER.pack(200_000, 1, 0, 0))
        while True:
            os.write(fd, b" " * (1 << 20))


def _lie() -> None:
    """Send a well-formed answer with the digests of another content."""
    key, md5 = b"a" * 64, b"b" * 32
    body = b'[["fingerprint","%s",3,"text/plain",[["md5","%s",null,""]],[],false]]' % (key, md5)
    for fd in _sockets():
        os.write(fd, ANSWER.pack(len(body), 1, 0, 0) + body)
    time.sleep(3600)


def _break_out(way: str, fd: int) -> None:
    """Attempt something forbidden; raise the kernel's error, or return if it was allowed."""
    ways: Mapping[str, Callable[[], object]] = {
        "read a file": lambda: os.open("/etc/passwd", os.O_RDONLY),
        "write a file": lambda: os.open("/tmp/broken-out", os.O_WRONLY | os.O_CREAT),
        "list a directory": lambda: list(Path("/").iterdir()),
        "remove a file": lambda: os.unlink("/tmp/broken-out"),  # noqa: PTH108 - as above
        "write into the content": lambda: os.pwrite(fd, b"x", 0),
        "make a memory file": lambda: os.memfd_create("x"),
        "make a pipe": os.pipe,
        "make a socket": lambda: _call(41 if _X86 else 198, 2, 1, 0),
        "make a socket pair": lambda: _call(53 if _X86 else 199, 1, 1, 0, (ctypes.c_int * 2)()),
        "connect": lambda: _call(42 if _X86 else 203, 0, b"\2\0\0\x50\x7f\0\0\1" + bytes(8), 16),
        "run a program": lambda: os.execv("/bin/true", ["true"]),
        "run a descriptor": lambda: os.execve(fd, ["x"], {}),
        "fork": os.fork,
        "clone3": lambda: _call(435, bytes(88), 88),
        "trace the parent": lambda: _call(101 if _X86 else 117, 16, os.getppid(), 0, 0),
        "read another's memory": lambda: _call(310 if _X86 else 270, os.getppid(), 0, 0, 0, 0, 0),
        "kill the parent": lambda: os.kill(os.getppid(), signal.SIGKILL),
        "load a module": lambda: _call(175 if _X86 else 105, b"", 0, b""),
        "use io_uring": lambda: _call(425, 8, bytes(120)),
        "use bpf": lambda: _call(321 if _X86 else 280, 0, bytes(128), 128),
        "make memory executable": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_EXEC | mmap.PROT_READ),
        "lift a limit": lambda: _call(302 if _X86 else 261, 0, 9, (ctypes.c_ulong * 2)(), None),
        "change the root": lambda: os.chroot("/"),
        "mount": lambda: _call(165 if _X86 else 40, b"none", b"/", b"tmpfs", 0, None),
        "make a namespace": lambda: _call(272 if _X86 else 97, 0x10000000),
        "change its user": lambda: os.setuid(1),
    }
    ways[way]()


_X86 = os.uname().machine == "x86_64"


def _call(number: int, *arguments: object) -> int:
    """Make a system call directly, as shell code would.  Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    values = (ctypes.c_long(value) if isinstance(value, int) else value for value in arguments)
    result: int = libc.syscall(ctypes.c_long(number), *values)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
