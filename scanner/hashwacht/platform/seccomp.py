"""Filters of system calls (seccomp(2), classic BPF): the instructions, and how to install one.

libseccomp is not used: a package from PyPI can neither contain that shared library nor rely on
it, so most installations would run without a filter.
"""

from __future__ import annotations

import ctypes
import errno
import struct
from collections.abc import Sequence

from hashwacht.platform.process import SandboxUnavailable, prctl

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, operand: struct sock_filter of linux/filter.h."""

LOAD, AND, EQUAL, AT_LEAST, RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
"""BPF_LD|W|ABS, BPF_ALU|AND|K, BPF_JMP|JEQ|K, BPF_JMP|JGE|K, BPF_RET|K."""
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16
"""Offsets in struct seccomp_data."""

ALLOW = 0x7FFF_0000
KILL = 0x8000_0000
REFUSE = 0x0005_0000
"""SECCOMP_RET_ALLOW, _KILL_PROCESS, _ERRNO (plus the number)."""

X32 = 0x4000_0000
"""Numbers from here on belong to the x32 ABI of x86_64."""

_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2


class _Program(ctypes.Structure):
    """Struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def filter_prologue(audit_architecture: int, other_architecture: int) -> list[Instruction]:
    """Return the start of a filter, which leaves the number of the system call loaded.

    *other_architecture* is the result of calls of any other architecture; those of x32 fail as
    unknown.
    """
    return [
        (LOAD, 0, 0, ARCHITECTURE),
        (EQUAL, 1, 0, audit_architecture),
        (RETURN, 0, 0, other_architecture),
        (LOAD, 0, 0, NUMBER),
        (AT_LEAST, 0, 1, X32),
        (RETURN, 0, 0, REFUSE | errno.ENOSYS),
    ]


def install_filter(instructions: Sequence[Instruction]) -> None:
    """Put a filter on this process for good; it must have given up new privileges.

    Raises SandboxUnavailable.
    """
    packed = b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)
    buffer = ctypes.create_string_buffer(packed, len(packed))
    program = _Program(len(instructions), ctypes.addressof(buffer))
    try:
        prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program))
    except OSError as error:
        raise SandboxUnavailable(error.strerror) from None
