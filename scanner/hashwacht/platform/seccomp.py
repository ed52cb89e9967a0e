"""Filters of system calls (seccomp(2), classic BPF): the instructions, and how one is put on.

Written here, because libseccomp is a shared library that a package from PyPI can neither bring
along nor count on: with it, most installations would run without a filter.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence

from hashwacht.platform.process import SandboxUnavailable

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
"""Numbers from here on are another calling convention of x86_64."""

_PR_SET_SECCOMP, _FILTER = 22, 2


class _Program(ctypes.Structure):
    """Struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def install_filter(made: Sequence[Instruction]) -> None:
    """Put a filter on this process, for good; it must have given up new privileges.

    Raises Unsupported.
    """
    packed = b"".join(struct.pack("HBBI", *each) for each in made)
    buffer = ctypes.create_string_buffer(packed, len(packed))
    filter_ = _Program(len(made), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_FILTER), ctypes.byref(filter_), 0, 0) != 0:
        raise SandboxUnavailable(f"the kernel says: {os.strerror(ctypes.get_errno())}")
