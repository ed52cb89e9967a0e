"""Run an operator's program: no shell, no inherited descriptors, bounded time and output."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from hashwacht.core.text import replace_unprintable
from hashwacht.platform.safe_open import reopen_read_only

STDOUT, STDERR, FILE = 1, 2, 3
"""Descriptors of the program; the last one is the file that it gets, if any."""

MAX_OUTPUT_BYTES = 2048
"""Of the output that are kept by default."""

_FREE = 10
"""Descriptors from here on do not collide with those that the program gets."""

_ENVIRONMENT = MappingProxyType(
    {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
)

_RESET_SIGNALS = (
    *(signal.SIGPIPE, signal.SIGXFSZ),  # Python ignores these
    *(signal.SIGINT, signal.SIGTERM, signal.SIGHUP),  # some of our processes ignore these
)


@dataclass(frozen=True, slots=True)
class ProgramResult:
    """How a program ended, and the last bytes that it wrote."""

    code: int | None
    """Exit code, negative for a signal; None if it was stopped at one of its limits."""
    output: bytes
    timed_out: bool = False

    @property
    def end(self) -> str:
        """How it ended, as the predicate of a sentence."""
        if self.code is None:
            return "did not end in time" if self.timed_out else "wrote too much"
        if self.code < 0:
            return f"was killed by signal {-self.code}"
        return f"ended with exit code {self.code}"

    def __str__(self) -> str:
        """Return the end and the output as one printable line."""
        text = " ".join(replace_unprintable(self.output.decode(errors="replace")).split())
        return f"{self.end}: {text}" if text else self.end


def run_program(
    arguments: Sequence[str],
    stdin: bytes,
    timeout: float,
    *,
    file: int | None = None,
    capture: Collection[int] = (STDOUT, STDERR),
    max_output: int = MAX_OUTPUT_BYTES,
    stop_at_max_output: bool = False,
    environment: Mapping[str, str] = _ENVIRONMENT,
) -> ProgramResult:
    """Run ``arguments[0]`` with *stdin* on standard input; return how it ended.

    It gets the *file*, opened again for reading only, as descriptor 3.  Of what it writes to the
    descriptors *capture* the last *max_output* bytes are kept.  After *timeout* seconds, or with
    *stop_at_max_output* when it writes more, it is killed together with its process group.
    Raises OSError if it cannot be started.
    """
    with contextlib.ExitStack() as stack:
        content = stack.enter_context(_moved_up(_memory_file(stdin)))
        null = stack.enter_context(_moved_up(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)))
        output, pipe = os.pipe()
        stack.callback(os.close, output)
        with _moved_up(pipe) as writable:
            sources = [content, *(writable if fd in capture else null for fd in (STDOUT, STDERR))]
            if file is not None:
                sources.append(stack.enter_context(_moved_up(reopen_read_only(file))))
            pid = os.posix_spawnp(
                arguments[0],
                tuple(arguments),
                environment,
                file_actions=[
                    *((os.POSIX_SPAWN_CLOSE, fd) for fd in _inheritable()),
                    *((os.POSIX_SPAWN_DUP2, source, fd) for fd, source in enumerate(sources)),
                ],
                setpgroup=0,
                setsigdef=_RESET_SIGNALS,
                setsigmask=[],
            )
        return _wait(pid, output, timeout, max_output, max_output if stop_at_max_output else None)


def _wait(pid: int, output: int, timeout: float, kept: int, most: int | None) -> ProgramResult:
    """Read the output until the program has ended or one of its limits is reached."""
    deadline, tail, length = time.monotonic() + timeout, b"", 0
    os.set_blocking(output, False)
    ended = os.pidfd_open(pid)
    poll = select.poll()
    for fd in (ended, output):
        poll.register(fd, select.POLLIN)
    try:
        while (left := deadline - time.monotonic()) > 0 and (most is None or length <= most):
            ready = [fd for fd, _ in poll.poll(left * 1000)]
            if output in ready:
                piece = _read(output)
                length += len(piece)
                tail = (tail + piece)[-kept:]
                if not piece:
                    poll.unregister(output)
            elif ended in ready:
                return ProgramResult(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), tail)
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return ProgramResult(None, tail, timed_out=left <= 0)
    finally:
        os.close(ended)


def _read(output: int) -> bytes:
    try:
        return os.read(output, 65536)
    except BlockingIOError:
        return b""


def _inheritable() -> Iterator[int]:
    """Yield descriptors that this process was started with and would pass on."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208  # numbers, not paths
        with contextlib.suppress(OSError):  # the descriptor of this listing
            if int(name) > FILE and os.get_inheritable(int(name)):
                yield int(name)


def _memory_file(content: bytes) -> int:
    fd = os.memfd_create("stdin", os.MFD_CLOEXEC)
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


@contextlib.contextmanager
def _moved_up(fd: int) -> Iterator[int]:
    """Take over *fd*; yield a duplicate that does not collide with those of the program."""
    try:
        duplicate = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FREE)
    finally:
        os.close(fd)
    try:
        yield duplicate
    finally:
        os.close(duplicate)
