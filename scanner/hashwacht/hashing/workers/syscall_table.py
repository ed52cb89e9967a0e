"""The system calls that a confined worker may use, and their numbers.

Everything else fails with EPERM: opening a file, a socket, a program, another
process, another process's memory.  Numbers are those of the kernel's own headers
(``asm/unistd_64.h`` for x86_64, ``asm-generic/unistd.h`` for aarch64); a test compares them.
"""

from __future__ import annotations

import fcntl
import mmap
from collections.abc import Mapping
from dataclasses import dataclass

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


_X86_64: Mapping[str, int] = {
    "read": 0,
    "write": 1,
    "close": 3,
    "fstat": 5,
    "poll": 7,
    "lseek": 8,
    "mmap": 9,
    "mprotect": 10,
    "munmap": 11,
    "brk": 12,
    "rt_sigaction": 13,
    "rt_sigprocmask": 14,
    "rt_sigreturn": 15,
    "pread64": 17,
    "readv": 19,
    "writev": 20,
    "sched_yield": 24,
    "mremap": 25,
    "mincore": 27,
    "madvise": 28,
    "nanosleep": 35,
    "setitimer": 38,
    "getpid": 39,
    "sendto": 44,
    "recvfrom": 45,
    "sendmsg": 46,
    "recvmsg": 47,
    "clone": 56,
    "exit": 60,
    "kill": 62,
    "uname": 63,
    "fcntl": 72,
    "gettimeofday": 96,
    "getrusage": 98,
    "sysinfo": 99,
    "sigaltstack": 131,
    "prctl": 157,
    "gettid": 186,
    "futex": 202,
    "sched_getaffinity": 204,
    "set_tid_address": 218,
    "restart_syscall": 219,
    "fadvise64": 221,
    "clock_gettime": 228,
    "clock_getres": 229,
    "clock_nanosleep": 230,
    "exit_group": 231,
    "tgkill": 234,
    "newfstatat": 262,
    "pselect6": 270,
    "ppoll": 271,
    "set_robust_list": 273,
    "preadv": 295,
    "getcpu": 309,
    "getrandom": 318,
    "memfd_create": 319,
    "membarrier": 324,
    "preadv2": 327,
    "rseq": 334,
    "clone3": 435,
}

_AARCH64: Mapping[str, int] = {
    "fcntl": 25,
    "close": 57,
    "lseek": 62,
    "read": 63,
    "write": 64,
    "readv": 65,
    "writev": 66,
    "pread64": 67,
    "preadv": 69,
    "pselect6": 72,
    "ppoll": 73,
    "newfstatat": 79,
    "fstat": 80,
    "exit": 93,
    "exit_group": 94,
    "set_tid_address": 96,
    "futex": 98,
    "set_robust_list": 99,
    "nanosleep": 101,
    "setitimer": 103,
    "clock_gettime": 113,
    "clock_getres": 114,
    "clock_nanosleep": 115,
    "sched_getaffinity": 123,
    "sched_yield": 124,
    "restart_syscall": 128,
    "kill": 129,
    "tgkill": 131,
    "sigaltstack": 132,
    "rt_sigaction": 134,
    "rt_sigprocmask": 135,
    "rt_sigreturn": 139,
    "uname": 160,
    "getrusage": 165,
    "prctl": 167,
    "getcpu": 168,
    "gettimeofday": 169,
    "getpid": 172,
    "gettid": 178,
    "sysinfo": 179,
    "sendto": 206,
    "recvfrom": 207,
    "sendmsg": 211,
    "recvmsg": 212,
    "brk": 214,
    "munmap": 215,
    "mremap": 216,
    "clone": 220,
    "mmap": 222,
    "fadvise64": 223,
    "mprotect": 226,
    "mincore": 232,
    "madvise": 233,
    "getrandom": 278,
    "memfd_create": 279,
    "membarrier": 283,
    "preadv2": 286,
    "rseq": 293,
    "clone3": 435,
}

ARCHITECTURES: Mapping[str, Architecture] = {
    "x86_64": Architecture(0xC000_003E, _X86_64),
    "aarch64": Architecture(0xC000_00B7, _AARCH64),
}
"""By the name in uname(2).  Other architectures have no filter, which is reported as a gap."""
