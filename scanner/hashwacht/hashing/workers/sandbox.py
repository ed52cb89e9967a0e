"""The sandbox of a worker and its budget for each content.

Limits, Landlock and the system call filter (seccomp(2), classic BPF) are inherited by everything
that the worker starts, and the worker cannot lift them.  It could stop the timer of its budget;
against a compromised worker the scanner has a timer of its own.
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

from hashwacht.hashing import Plan
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
    """Return the filter: it allows what is listed and refuses everything else.

    A call of another architecture kills the process; ``clone3`` is refused as unknown, so that
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
        *_unconditional(numbers, ALWAYS_ALLOWED),
        (EQUAL, 0, 1, numbers["clone3"]),
        (RETURN, 0, 0, REFUSE | errno.ENOSYS),
        *_conditional(numbers, pid, allow_memfd=allow_memfd),
        (RETURN, 0, 0, REFUSE | errno.EPERM),
    ]


def _unconditional(numbers: Mapping[str, int], names: tuple[str, ...]) -> list[Instruction]:
    """Allow calls with any arguments; some calls exist on one architecture only."""
    return [
        instruction
        for name in names
        if name in numbers
        for instruction in ((EQUAL, 0, 1, numbers[name]), (RETURN, 0, 0, ALLOW))
    ]


def _conditional(numbers: Mapping[str, int], pid: int, *, allow_memfd: bool) -> list[Instruction]:
    """Allow calls with certain arguments; each rule loads the call number again."""
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
    """Install the filter on this process, irrevocably, after ``forbid_new_privileges``.

    Raises SandboxUnavailable if the kernel or the architecture has none.
    """
    name = os.uname().machine
    if name not in ARCHITECTURES or sys.maxsize < 1 << 32:
        raise SandboxUnavailable(f"there is no filter for {name}")
    install_filter(build_filter(ARCHITECTURES[name], os.getpid(), allow_memfd=allow_memfd))


MAX_OPEN_FILES = 64
"""Open files of one worker: its socket, a content, its copy, the pipes of an operator's command."""

MIN_DIGEST_RATE = 16 << 20
"""Bytes per second of processor time at which every machine computes all digests (a machine of
2015: 120 MiB/s).  A long video may take that much longer than a picture."""

_STATM_PAGES, _STATM_RESIDENT = 0, 1


def confine(plan: Plan, worker_kind: WorkerKind) -> SandboxLayers:
    """Confine a new worker, irrevocably, to what its kind needs; return the active layers.

    Raises OSError if the kernel refuses one of the limits: then no worker may run.  RLIMIT_NPROC
    is not used: it also counts threads, and the HEIC decoder needs one.  The worker that runs
    operators' programs gets the limits but no filter: these programs may open what they need.
    """
    set_name(process_name(worker_kind))
    forbid_new_privileges()
    forbid_dumps()
    with suppress(OSError):  # /proc may not be mounted; then the kernel's order applies
        Path("/proc/self/oom_score_adj").write_bytes(b"1000")  # killed first if memory is short
    with open("/proc/self/statm", "rb") as statm:  # noqa: PTH123 - no Path: this also runs between contents
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
    """Return the name of a worker process in ps(1): at most 15 characters."""
    return f"hw-{worker_kind.name.lower()}"


def _limit(what: int, most: int) -> None:
    """Lower a limit to *most*; a lower limit stays."""
    _, hard = resource.getrlimit(what)
    value = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (value, value))


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """When a worker ends and a new one replaces it, which frees its memory."""

    max_tasks: int = 10_000
    max_growth_bytes: int = 96 << 20
    """Resident memory above that of the idle worker, measured *between* two contents."""


class WorkerBudget:
    """Limits the processor time of each content and the size of the worker.

    RLIMIT_CPU counts all contents of a process, so an interval timer limits each one: its signal
    (SIGPROF) kills even inside a decoder that never returns to Python.
    """

    def __init__(self, seconds: float, worker_limits: WorkerLimits) -> None:
        """Record the present size as that of an idle worker."""
        self._seconds = seconds
        self._worker_limits = worker_limits
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._idle = self._resident()
        self._tasks = 0

    def begin(self, fd: int) -> None:
        """Start the timer for one content."""
        size = os.fstat(fd).st_size
        signal.setitimer(signal.ITIMER_PROF, self._seconds + size / MIN_DIGEST_RATE)
        self._tasks += 1

    def exhausted(self) -> bool:
        """Return whether this worker should end after the present content."""
        if self._tasks >= self._worker_limits.max_tasks:
            return True
        return self._resident() - self._idle > self._worker_limits.max_growth_bytes

    def _resident(self) -> int:
        """Return the bytes of memory in use."""
        return int(os.pread(self._statm, 100, 0).split()[_STATM_RESIDENT]) * mmap.PAGESIZE
