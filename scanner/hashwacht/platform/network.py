"""Leaving the network: what reads customers' files cannot talk to anybody outside any more.

Two layers, whichever the kernel grants.  A network *namespace* of its own has no way out at all;
it takes privileges, and as long as the process keeps them it could go back.  So there is also a
*filter* that refuses every new socket but Unix ones, and io_uring, which could make others; it
takes no privilege and can never be taken off.  Both hold for whatever the process starts.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from collections.abc import Mapping
from types import MappingProxyType

from hashwacht.platform.process import SandboxUnavailable
from hashwacht.platform.seccomp import (
    ALLOW,
    ARCHITECTURE,
    ARGUMENTS,
    AT_LEAST,
    EQUAL,
    LOAD,
    NUMBER,
    REFUSE,
    RETURN,
    X32,
    Instruction,
    install_filter,
)

_NEW_NETWORK = 0x4000_0000
"""CLONE_NEWNET of linux/sched.h."""
_PR_SET_NO_NEW_PRIVS = 38

_CALLS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"x86_64": (0xC000_003E, 41), "aarch64": (0xC000_00B7, 198)}
)
"""By the name that uname(2) gives: AUDIT_ARCH_* and the number of socket(2)."""
_IO_URING_SETUP = 425
"""The same on every architecture."""


def leave_network() -> dict[str, str]:
    """Give up the network, for good; say of each layer why it is not active, "" if it is.

    Call it before there is another thread: one that is there already would keep its network.
    """
    layers = {}
    for name, leave in (("namespace", _unshare), ("filter", _filter)):
        try:
            leave()
        except SandboxUnavailable as error:
            layers[name] = str(error)
        else:
            layers[name] = ""
    return layers


def _unshare() -> None:
    """Move into a network without interfaces.  Raises Unsupported."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_NETWORK) != 0:
        raise SandboxUnavailable(f"the kernel says: {os.strerror(ctypes.get_errno())}")


def _filter() -> None:
    """Refuse sockets but Unix ones.  Raises Unsupported."""
    machine = os.uname().machine
    if machine not in _CALLS:
        raise SandboxUnavailable(f"no filter is written for {machine}")
    ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), 0, 0, 0)
    install_filter(build_filter(machine))


def build_filter(machine: str) -> list[Instruction]:
    """Write the filter; a call of another architecture finds nothing that it could call."""
    audit, socket_call = _CALLS[machine]
    return [
        (LOAD, 0, 0, ARCHITECTURE),
        (EQUAL, 1, 0, audit),
        (RETURN, 0, 0, REFUSE | errno.ENOSYS),
        (LOAD, 0, 0, NUMBER),
        (AT_LEAST, 0, 1, X32),
        (RETURN, 0, 0, REFUSE | errno.ENOSYS),
        (EQUAL, 0, 1, _IO_URING_SETUP),
        (RETURN, 0, 0, REFUSE | errno.ENOSYS),
        (EQUAL, 1, 0, socket_call),
        (RETURN, 0, 0, ALLOW),
        (LOAD, 0, 0, ARGUMENTS),  # the low half: both architectures are little-endian
        (EQUAL, 0, 1, socket.AF_UNIX),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, REFUSE | errno.EAFNOSUPPORT),
    ]
