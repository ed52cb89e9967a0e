"""What a worker gives up before it meets a stranger's content, and its budget for each one.

The one place where a worker is confined.  All of it is inherited by whatever the worker starts
and none of it can be taken back by the worker, except the timer: against a worker that has been
taken over, the scanner's own clock stands.

The system call filter of a confined worker (seccomp(2), classic BPF).
"""

from __future__ import annotations

import errno
import mmap
import os
import resource
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hashwacht.hashing.plan import Plan
from hashwacht.hashing.workers.protocol import WorkerKind
from hashwacht.hashing.workers.syscall_table import (
    ALWAYS_ALLOWED,
    ARCHITECTURES,
    Architecture,
    syscall_rules,
)
from hashwacht.platform import landlock
from hashwacht.platform.process import (
    SandboxLayers,
    SandboxUnavailable,
    forbid_dumps,
    forbid_new_privileges,
    layer_status,
    set_name,
)
from hashwacht.platform.seccomp import (
    ALLOW,
    AND,
    ARCHITECTURE,
    ARGUMENTS,
    AT_LEAST,
    EQUAL,
    KILL,
    LOAD,
    NUMBER,
    REFUSE,
    RETURN,
    X32,
    Instruction,
    install_filter,
)


def build_filter(machine: Architecture, pid: int, *, allow_memfd: bool) -> list[Instruction]:
    """Write the filter: allow what is listed, refuse everything else.

    A call of another architecture ends the process; ``clone3`` is refused as unknown, so that
    the C library falls back to ``clone``, whose arguments a filter can see.
    """
    numbers = machine.numbers
    return [
        (LOAD, 0, 0, ARCHITECTURE),
        (EQUAL, 1, 0, machine.audit),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER),
        (AT_LEAST, 0, 1, X32),
        (RETURN, 0, 0, REFUSE | errno.ENOSYS),
        *_each(numbers, ALWAYS_ALLOWED),
        (EQUAL, 0, 1, numbers["clone3"]),
        (RETURN, 0, 0, REFUSE | errno.ENOSYS),
        *_ruled(numbers, pid, allow_memfd=allow_memfd),
        (RETURN, 0, 0, REFUSE | errno.EPERM),
    ]


def _each(numbers: Mapping[str, int], names: tuple[str, ...]) -> list[Instruction]:
    """Allow calls whatever their arguments; some exist on one architecture only."""
    return [
        instruction
        for name in names
        if name in numbers
        for instruction in ((EQUAL, 0, 1, numbers[name]), (RETURN, 0, 0, ALLOW))
    ]


def _ruled(numbers: Mapping[str, int], pid: int, *, allow_memfd: bool) -> list[Instruction]:
    """Allow calls with certain arguments; each rule starts from the number again."""
    return [
        instruction
        for rule in syscall_rules(pid, allow_memfd=allow_memfd)
        for instruction in (
            (LOAD, 0, 0, NUMBER),
            (EQUAL, 0, 4, numbers[rule.call]),
            (LOAD, 0, 0, ARGUMENTS + 8 * rule.argument),  # the low half: both are little-endian
            (AND, 0, 0, rule.mask),
            (EQUAL, 0, 1, rule.value),
            (RETURN, 0, 0, ALLOW),
        )
    ]


def install_syscall_filter(*, allow_memfd: bool) -> None:
    """Put the filter on this process, for good; it must have given up new privileges.

    Raises Unsupported where the kernel or the architecture has none.
    """
    name = os.uname().machine
    if name not in ARCHITECTURES or sys.maxsize < 1 << 32:
        raise SandboxUnavailable(f"no filter is written for {name}")
    install_filter(build_filter(ARCHITECTURES[name], os.getpid(), allow_memfd=allow_memfd))


MAX_OPEN_FILES = 64
"""Open files of one worker: its socket, a content, its copy, the pipes of an operator's command."""

MIN_DIGEST_RATE = 16 << 20
"""Bytes per second of processor time in which any machine computes all digests (measured on
one of 2015: 120 MiB/s).  A long video may take that much longer than a picture."""

_STATM_PAGES, _STATM_RESIDENT = 0, 1


def confine(plan: Plan, worker_kind: WorkerKind) -> SandboxLayers:
    """Give up, for good, what this work does not need.  Called once, in a fresh worker.

    Raises OSError if the kernel does not grant one of the limits: then no worker may run.
    RLIMIT_NPROC is none of them: it also counts threads, and the decoder of HEIC needs one.
    The worker that runs operators' programs gets the limits, but no filter: what these programs
    have to open is for their operator to say.
    """
    set_name(process_name(worker_kind))
    forbid_new_privileges()
    forbid_dumps()
    with suppress(OSError):  # /proc may not be mounted; then the default order holds
        Path("/proc/self/oom_score_adj").write_bytes(b"1000")  # if memory is short, us first
    with open("/proc/self/statm", "rb") as statm:  # noqa: PTH123 - as in Upkeep
        idle = int(statm.read().split()[_STATM_PAGES]) * mmap.PAGESIZE
    _limit(resource.RLIMIT_AS, idle + plan.limits.max_memory)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(
        resource.RLIMIT_FSIZE,
        0 if worker_kind is WorkerKind.PICTURE else plan.limits.max_picture_size,
    )
    _limit(resource.RLIMIT_NOFILE, MAX_OPEN_FILES)
    if worker_kind is WorkerKind.COMMANDS:
        return {}
    allow_memfd = worker_kind is WorkerKind.DIGESTS
    return {
        "landlock": layer_status(landlock.restrict),
        "seccomp": layer_status(partial(install_syscall_filter, allow_memfd=allow_memfd)),
    }


def process_name(worker_kind: WorkerKind) -> str:
    """Name the processes that do it, as ps(1) shows them: at most 15 letters."""
    return f"hw-{worker_kind.name.lower()}"


def _limit(what: int, most: int) -> None:
    """Lower a limit to *most*, or to what is allowed already if that is less."""
    _, hard = resource.getrlimit(what)
    value = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (value, value))


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """After what a worker makes room for a fresh one: its memory is given back at the latest."""

    max_tasks: int = 10_000
    max_growth_bytes: int = 96 << 20
    """Resident memory beyond that of the idle worker, *between* two contents."""


class WorkerBudget:
    """What a worker does around every content: arm the timer, and look at its own size.

    RLIMIT_CPU counts the whole life of a process, so a worker that lives for thousands of
    contents is timed by an interval timer instead: its signal (SIGPROF) kills even inside a
    decoder that never returns to Python.
    """

    def __init__(self, seconds: float, worker_limits: WorkerLimits) -> None:
        """Take the present size for that of an idle worker."""
        self._seconds = seconds
        self._worker_limits = worker_limits
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._idle = self._resident()
        self._tasks = 0

    def begin(self, fd: int) -> None:
        """Grant processor time for one content."""
        size = os.fstat(fd).st_size
        signal.setitimer(signal.ITIMER_PROF, self._seconds + size / MIN_DIGEST_RATE)
        self._tasks += 1

    def exhausted(self) -> bool:
        """Tell, after a content, if this worker should end."""
        if self._tasks >= self._worker_limits.max_tasks:
            return True
        return self._resident() - self._idle > self._worker_limits.max_growth_bytes

    def _resident(self) -> int:
        """Bytes of memory in use."""
        return int(os.pread(self._statm, 100, 0).split()[_STATM_RESIDENT]) * mmap.PAGESIZE
