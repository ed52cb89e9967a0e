"""The system call filter of a confined worker (seccomp(2), classic BPF).

Written here in a hundred lines, because libseccomp is a shared library that a package from PyPI
can neither bring along nor count on: with it, most installations would run without a filter.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from collections.abc import Mapping

from hashwacht.fingerprint.syscalls import ALWAYS, ARCHITECTURES, Architecture, rules

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, operand: struct sock_filter of linux/filter.h."""

_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
"""BPF_LD|W|ABS, BPF_ALU|AND|K, BPF_JMP|JEQ|K, BPF_JMP|JGE|K, BPF_RET|K."""
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
"""Offsets in struct seccomp_data."""

ALLOW = 0x7FFF_0000
KILL = 0x8000_0000
REFUSE = 0x0005_0000
"""SECCOMP_RET_ALLOW, _KILL_PROCESS, _ERRNO (plus the number)."""

_X32 = 0x4000_0000
"""Numbers from here on are another calling convention of x86_64."""

_PR_SET_SECCOMP, _FILTER = 22, 2


class Unsupported(Exception):
    """The layer cannot be had here, and why."""


def program(machine: Architecture, pid: int, *, may_copy: bool) -> list[Instruction]:
    """Write the filter: allow what is listed, refuse everything else.

    A call of another architecture ends the process; ``clone3`` is refused as unknown, so that
    the C library falls back to ``clone``, whose arguments a filter can see.
    """
    numbers = machine.numbers
    return [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, machine.audit),
        (_RETURN, 0, 0, KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, REFUSE | errno.ENOSYS),
        *_each(numbers, ALWAYS),
        (_EQUAL, 0, 1, numbers["clone3"]),
        (_RETURN, 0, 0, REFUSE | errno.ENOSYS),
        *_ruled(numbers, pid, may_copy=may_copy),
        (_RETURN, 0, 0, REFUSE | errno.EPERM),
    ]


def _each(numbers: Mapping[str, int], names: tuple[str, ...]) -> list[Instruction]:
    """Allow calls whatever their arguments; some exist on one architecture only."""
    return [
        instruction
        for name in names
        if name in numbers
        for instruction in ((_EQUAL, 0, 1, numbers[name]), (_RETURN, 0, 0, ALLOW))
    ]


def _ruled(numbers: Mapping[str, int], pid: int, *, may_copy: bool) -> list[Instruction]:
    """Allow calls with certain arguments; each rule starts from the number again."""
    return [
        instruction
        for rule in rules(pid, may_copy=may_copy)
        for instruction in (
            (_LOAD, 0, 0, _NUMBER),
            (_EQUAL, 0, 4, numbers[rule.call]),
            (_LOAD, 0, 0, _ARGUMENTS + 8 * rule.argument),  # the low half: both are little-endian
            (_AND, 0, 0, rule.mask),
            (_EQUAL, 0, 1, rule.value),
            (_RETURN, 0, 0, ALLOW),
        )
    ]


class _Program(ctypes.Structure):
    """Struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def install(*, may_copy: bool) -> None:
    """Put the filter on this process, for good; it must have given up new privileges.

    Raises Unsupported where the kernel or the architecture has none.
    """
    name = os.uname().machine
    if name not in ARCHITECTURES or sys.maxsize < 1 << 32:
        raise Unsupported(f"no filter is written for {name}")
    apply(program(ARCHITECTURES[name], os.getpid(), may_copy=may_copy))


def apply(made: list[Instruction]) -> None:
    """Put any filter on this process, for good.  Raises Unsupported."""
    packed = b"".join(struct.pack("HBBI", *each) for each in made)
    buffer = ctypes.create_string_buffer(packed, len(packed))
    filter_ = _Program(len(made), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_FILTER), ctypes.byref(filter_), 0, 0) != 0:
        raise Unsupported(f"the kernel says: {os.strerror(ctypes.get_errno())}")
