"""The system call filter of a worker (seccomp(2), classic BPF): a list of allowed calls.

Everything else fails with EPERM: opening a file, a socket, a program, another
process, another process's memory.  Numbers are those of the kernel's own headers
(``asm/unistd_64.h`` for x86_64, ``asm-generic/unistd.h`` for aarch64); a test compares them.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from hashwacht.platform.process import SandboxUnavailable
from hashwacht.platform.seccomp import (
    ALLOW,
    AND,
    ARGUMENTS,
    EQUAL,
    KILL,
    LOAD,
    NUMBER,
    REFUSE,
    RETURN,
    Instruction,
    filter_prologue,
    install_filter,
)

ALWAYS_ALLOWED = (
    # Reading and writing of descriptors that are already open.
    *("read", "readv", "pread64", "preadv", "preadv2", "write", "writev", "lseek", "close"),
    *("recvfrom", "recvmsg", "sendto", "sendmsg", "fstat", "newfstatat", "fadvise64"),
    *("poll", "ppoll", "pselect6"),
    # Memory, but none that could be executed: see syscall_rules.
    *("brk", "munmap", "mremap", "madvise", "mincore"),
    # Threads of a decoder, time, random numbers, and what the C library needs.
    *("futex", "set_robust_list", "rseq", "sched_yield", "sched_getaffinity", "membarrier"),
    *("gettid", "getpid", "getcpu", "sysinfo", "uname", "getrusage", "set_tid_address"),
    *("clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday"),
    *("setitimer", "getrandom", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack"),
    *("restart_syscall", "exit", "exit_group"),
)
"""Allowed with any arguments.  The C library implements fstat with ``newfstatat``, which can also
test whether a name exists: all that a worker can learn of the file system."""

_THREAD = 0x0001_0000
_NEW_NAMESPACES = 0x7E02_0080
"""CLONE_THREAD; CLONE_NEW* of include/uapi/linux/sched.h."""
_NAME_A_THREAD = 15
_ADD_SEALS = 1033
_WHOLE_WORD = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class SyscallRule:
    """A call that is allowed if ``argument & mask == value`` (low 32 bits of the argument)."""

    call: str
    argument: int
    mask: int
    value: int


def syscall_rules(pid: int, *, allow_memfd: bool) -> list[SyscallRule]:
    """Return the rules for calls that depend on an argument, for the process *pid*.

    *allow_memfd*: it may write a sealed memory file.
    """
    descriptors = (fcntl.F_GETFD, fcntl.F_SETFD, fcntl.F_GETFL, fcntl.F_DUPFD_CLOEXEC)
    return [
        SyscallRule("mmap", 2, mmap.PROT_EXEC, 0),
        SyscallRule("mprotect", 2, mmap.PROT_EXEC, 0),
        SyscallRule("clone", 0, _THREAD | _NEW_NAMESPACES, _THREAD),
        SyscallRule("prctl", 0, _WHOLE_WORD, _NAME_A_THREAD),
        SyscallRule("kill", 0, _WHOLE_WORD, pid),
        SyscallRule("tgkill", 0, _WHOLE_WORD, pid),
        *(SyscallRule("fcntl", 1, _WHOLE_WORD, command) for command in descriptors),
        *([SyscallRule("memfd_create", 1, 0, 0)] if allow_memfd else []),
        *([SyscallRule("fcntl", 1, _WHOLE_WORD, _ADD_SEALS)] if allow_memfd else []),
    ]


@dataclass(frozen=True, slots=True)
class Architecture:
    """A processor architecture: how the kernel names it in a filter, and its numbers."""

    audit: int
    """AUDIT_ARCH_* of include/uapi/linux/audit.h."""
    numbers: Mapping[str, int]


_NUMBERS: Mapping[str, tuple[int, int | None]] = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "fstat": (5, 80),
    "poll": (7, None),
    "lseek": (8, 62),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "pread64": (17, 67),
    "readv": (19, 65),
    "writev": (20, 66),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "mincore": (27, 232),
    "madvise": (28, 233),
    "nanosleep": (35, 101),
    "setitimer": (38, 103),
    "getpid": (39, 172),
    "sendto": (44, 206),
    "recvfrom": (45, 207),
    "sendmsg": (46, 211),
    "recvmsg": (47, 212),
    "clone": (56, 220),
    "exit": (60, 93),
    "kill": (62, 129),
    "uname": (63, 160),
    "fcntl": (72, 25),
    "gettimeofday": (96, 169),
    "getrusage": (98, 165),
    "sysinfo": (99, 179),
    "sigaltstack": (131, 132),
    "prctl": (157, 167),
    "gettid": (186, 178),
    "futex": (202, 98),
    "sched_getaffinity": (204, 123),
    "set_tid_address": (218, 96),
    "restart_syscall": (219, 128),
    "fadvise64": (221, 223),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "exit_group": (231, 94),
    "tgkill": (234, 131),
    "newfstatat": (262, 79),
    "pselect6": (270, 72),
    "ppoll": (271, 73),
    "set_robust_list": (273, 99),
    "preadv": (295, 69),
    "getcpu": (309, 168),
    "getrandom": (318, 278),
    "memfd_create": (319, 279),
    "membarrier": (324, 283),
    "preadv2": (327, 286),
    "rseq": (334, 293),
    "clone3": (435, 435),
}
"""On x86_64 and aarch64, which has no ``poll``."""

ARCHITECTURES: Mapping[str, Architecture] = {
    "x86_64": Architecture(0xC000_003E, {name: number for name, (number, _) in _NUMBERS.items()}),
    "aarch64": Architecture(
        0xC000_00B7, {name: number for name, (_, number) in _NUMBERS.items() if number is not None}
    ),
}
"""By the name in uname(2).  Other architectures have no filter, which is reported as a gap."""


def build_filter(machine: Architecture, pid: int, *, allow_memfd: bool) -> list[Instruction]:
    """Return the filter: it allows what is listed and refuses everything else.

    A call of another architecture kills the process; ``clone3`` is refused as unknown, so that
    the C library falls back to ``clone``, whose arguments a filter can see.
    """
    numbers = machine.numbers
    return [
        *filter_prologue(machine.audit, KILL),
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
