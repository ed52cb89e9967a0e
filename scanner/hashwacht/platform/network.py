"""Leaving the network: a process that reads customers' files cannot connect to anything outside.

Two layers, each where the kernel grants it.  A network *namespace* of its own has no way out,
but needs privileges, and a process that keeps CAP_SYS_ADMIN can return with setns(2).  A seccomp
*filter* refuses every new socket except Unix sockets, and io_uring, which could create others; it
needs no privilege and cannot be removed.  Child processes inherit both.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Mapping
from types import MappingProxyType

from hashwacht.platform.process import (
    SandboxLayers,
    SandboxUnavailable,
    check_call,
    forbid_new_privileges,
    layer_status,
    libc,
)
from hashwacht.platform.seccomp import (
    ALLOW,
    ARGUMENTS,
    EQUAL,
    LOAD,
    REFUSE,
    RETURN,
    Instruction,
    filter_prologue,
    install_filter,
)

NAMESPACE, FILTER = "namespace", "filter"
"""The names of the two layers."""

_CLONE_NEWNET = 0x4000_0000

_CALLS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"x86_64": (0xC000_003E, 41), "aarch64": (0xC000_00B7, 198)}
)
"""By machine, as uname(2) names it: AUDIT_ARCH_* and the number of socket(2)."""
_IO_URING_SETUP = 425
"""The same on every architecture."""


def leave_network() -> SandboxLayers:
    """Leave the network for good; return why each layer is not active, "" if it is.

    There must be no other thread yet: it would keep its network.
    """
    return {NAMESPACE: layer_status(_unshare), FILTER: layer_status(_refuse_sockets)}


def _unshare() -> None:
    try:
        check_call(libc().unshare(_CLONE_NEWNET))
    except OSError as error:
        raise SandboxUnavailable(error.strerror) from None


def _refuse_sockets() -> None:
    machine = os.uname().machine
    if machine not in _CALLS:
        raise SandboxUnavailable(f"there is no seccomp filter for {machine}")
    forbid_new_privileges()
    install_filter(build_filter(machine))


def build_filter(machine: str) -> list[Instruction]:
    """Return the filter; it refuses every system call of another architecture."""
    audit, socket_call = _CALLS[machine]
    return [
        *filter_prologue(audit, REFUSE | errno.ENOSYS),
        (EQUAL, 0, 1, _IO_URING_SETUP),
        (RETURN, 0, 0, REFUSE | errno.ENOSYS),
        (EQUAL, 1, 0, socket_call),
        (RETURN, 0, 0, ALLOW),
        (LOAD, 0, 0, ARGUMENTS),  # the low half: both machines are little-endian
        (EQUAL, 0, 1, socket.AF_UNIX),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, REFUSE | errno.EAFNOSUPPORT),
    ]
