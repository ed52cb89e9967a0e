"""Calling a program of the operator's: no shell, no inherited descriptors, bounded in all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass

MAX_OUTPUT_BYTES = 2048
"""Bytes of its output that are kept, the last ones; the rest is read and dropped."""

LAST = 3
"""The number of the file's descriptor, the last that the program gets."""

_FREE = 10
"""From here on no descriptor is in the way of 0 to 3, which the program gets."""

_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


@dataclass(frozen=True, slots=True)
class ProgramResult:
    """*code* is its exit code, negative for a signal, None if its time was over."""

    code: int | None
    output: str

    def __str__(self) -> str:
        how = "its time was over" if self.code is None else f"it ended with {self.code}"
        said = " ".join(self.output.split())
        return f"{how}: {said}" if said else how


def run_program(arguments: tuple[str, ...], stdin: bytes, fd: int, limit: float) -> ProgramResult:
    """Run ``arguments[0]`` with *stdin* on standard input and the file *fd* as descriptor 3.

    After *limit* seconds it is killed with all it has started (its process group).  What it
    writes to standard output and error is kept in part.  Raises OSError if it cannot be started.
    """
    with contextlib.ExitStack() as stack:
        case = stack.enter_context(_high(_memory(stdin)))
        file = stack.enter_context(_high(_reopened(fd)))
        out, into = os.pipe()
        stack.callback(os.close, out)
        with _high(into) as output:
            pid = os.posix_spawn(
                arguments[0],
                arguments,
                _ENVIRONMENT,
                file_actions=[
                    *((os.POSIX_SPAWN_CLOSE, leak) for leak in _leaks()),
                    *(
                        (os.POSIX_SPAWN_DUP2, source, target)
                        for target, source in enumerate((case, output, output, file))
                    ),
                ],
                setpgroup=0,
                setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],  # Python ignores these
                setsigmask=[],
            )
        return _wait(pid, out, limit)


def _wait(pid: int, out: int, limit: float) -> ProgramResult:
    """Read its output until it has ended or its time is over."""
    deadline, tail = time.monotonic() + limit, b""
    os.set_blocking(out, False)
    ended = os.pidfd_open(pid)
    waiting = select.poll()
    for fd in (ended, out):
        waiting.register(fd, select.POLLIN)
    try:
        while (left := deadline - time.monotonic()) > 0:
            ready = [fd for fd, _ in waiting.poll(left * 1000)]
            if out in ready:
                piece = _read(out)
                tail = (tail + piece)[-MAX_OUTPUT_BYTES:]
                if not piece:
                    waiting.unregister(out)
            elif ended in ready:
                return ProgramResult(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), _text(tail))
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return ProgramResult(None, _text(tail))
    finally:
        os.close(ended)


def _read(out: int) -> bytes:
    try:
        return os.read(out, 65536)
    except BlockingIOError:
        return b""


def _text(output: bytes) -> str:
    text = output.decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _leaks() -> Iterator[int]:
    """Give descriptors that a program would inherit: those that we were started with."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208  # numbers, not paths
        with contextlib.suppress(OSError):  # the one of this listing
            if int(name) > LAST and os.get_inheritable(int(name)):
                yield int(name)


def _memory(content: bytes) -> int:
    fd = os.memfd_create("case", os.MFD_CLOEXEC)
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _reopened(fd: int) -> int:
    """Open the same file once more: with an offset of its own, and for reading only."""
    return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


@contextlib.contextmanager
def _high(fd: int) -> Iterator[int]:
    """Take over *fd* and give it under a number that is not in the way."""
    try:
        high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FREE)
    finally:
        os.close(fd)
    try:
        yield high
    finally:
        os.close(high)
