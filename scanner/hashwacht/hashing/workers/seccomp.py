"""The system call filter of a confined worker (seccomp(2), classic BPF)."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping

from hashwacht.hashing.workers.syscall_table import ALWAYS, ARCHITECTURES, Architecture, rules
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
    apply,
)
from hashwacht.platform.unsupported import Unsupported


def program(machine: Architecture, pid: int, *, may_copy: bool) -> list[Instruction]:
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
        *_each(numbers, ALWAYS),
        (EQUAL, 0, 1, numbers["clone3"]),
        (RETURN, 0, 0, REFUSE | errno.ENOSYS),
        *_ruled(numbers, pid, may_copy=may_copy),
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


def _ruled(numbers: Mapping[str, int], pid: int, *, may_copy: bool) -> list[Instruction]:
    """Allow calls with certain arguments; each rule starts from the number again."""
    return [
        instruction
        for rule in rules(pid, may_copy=may_copy)
        for instruction in (
            (LOAD, 0, 0, NUMBER),
            (EQUAL, 0, 4, numbers[rule.call]),
            (LOAD, 0, 0, ARGUMENTS + 8 * rule.argument),  # the low half: both are little-endian
            (AND, 0, 0, rule.mask),
            (EQUAL, 0, 1, rule.value),
            (RETURN, 0, 0, ALLOW),
        )
    ]


def install_syscall_filter(*, may_copy: bool) -> None:
    """Put the filter on this process, for good; it must have given up new privileges.

    Raises Unsupported where the kernel or the architecture has none.
    """
    name = os.uname().machine
    if name not in ARCHITECTURES or sys.maxsize < 1 << 32:
        raise Unsupported(f"no filter is written for {name}")
    apply(program(ARCHITECTURES[name], os.getpid(), may_copy=may_copy))
