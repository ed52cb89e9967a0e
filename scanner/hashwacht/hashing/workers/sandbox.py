"""The sandbox of a worker and its budget for each content.

Limits, Landlock and the system call filter are inherited by everything that the worker starts, and
the worker cannot lift them.  It could stop the timer of its budget;
against a compromised worker the scanner has a timer of its own.
"""

from __future__ import annotations

import mmap
import os
import resource
import signal
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hashwacht.hashing import Plan
from hashwacht.hashing.workers.protocol import WorkerKind
from hashwacht.hashing.workers.syscall_filter import install_syscall_filter
from hashwacht.platform import landlock
from hashwacht.platform.process import (
    SandboxLayers,
    forbid_dumps,
    forbid_new_privileges,
    layer_status,
    set_name,
)

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
    _limit(resource.RLIMIT_FSIZE, _max_file_size(plan, worker_kind))
    _limit(resource.RLIMIT_NOFILE, MAX_OPEN_FILES)
    if worker_kind is WorkerKind.COMMANDS:
        return {}
    allow_memfd = worker_kind in {WorkerKind.DIGESTS, WorkerKind.ARCHIVE}
    return {
        "landlock": layer_status(landlock.restrict),
        "seccomp": layer_status(partial(install_syscall_filter, allow_memfd=allow_memfd)),
    }


def _max_file_size(plan: Plan, worker_kind: WorkerKind) -> int:
    """Return the bytes of the largest memory file that a worker may write."""
    if worker_kind is WorkerKind.ARCHIVE:
        return plan.archive_limits.max_member_size
    return 0 if worker_kind is WorkerKind.PICTURE else plan.limits.max_picture_size


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
        return int(os.pread(self._statm, 100, 0).split()[_STATM_RESIDENT]) * mmap.PAGESIZE
