"""What the watcher gives up before it looks at anything: all capabilities but two, the network.

For good, and for the calling thread and what it starts: it has to be called before there are
other threads.  See capabilities(7).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

CAP_DAC_READ_SEARCH = 2
CAP_SYS_ADMIN = 21
NEEDED = frozenset({CAP_DAC_READ_SEARCH, CAP_SYS_ADMIN})

_PR_SET_NO_NEW_PRIVS, _PR_CAPBSET_DROP, _PR_CAP_AMBIENT, _CLEAR_ALL = 38, 24, 47, 4
_CLONE_NEWNET = 0x4000_0000
_VERSION = 0x2008_0522
"""_LINUX_CAPABILITY_VERSION_3: two words for each set."""


class _Head(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def leave_network() -> bool:
    """Move into a network of its own that leads nowhere; say if the kernel let us.

    Unix sockets that have a path go on working: they belong to the file system.
    """
    return bool(_libc().unshare(_CLONE_NEWNET) == 0)


def limit_capabilities(capabilities: Iterable[int]) -> set[int]:
    """Give up all capabilities but these, and give those of them that are held now.

    They also leave the bounding set where that is permitted (CAP_SETPCAP), so that no program
    that is started can have them.  Raises OSError.
    """
    wanted = sum(1 << number for number in capabilities)
    libc = _libc()
    highest = int(Path("/proc/sys/kernel/cap_last_cap").read_bytes())
    for number in range(highest + 1):
        if not wanted >> number & 1:
            libc.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(number), 0, 0, 0)
    libc.prctl(_PR_CAP_AMBIENT, ctypes.c_ulong(_CLEAR_ALL), 0, 0, 0)
    head, sets = _Head(_VERSION, 0), (_Sets * 2)()
    _check(libc.capget(ctypes.byref(head), ctypes.byref(sets)))
    for word, each in enumerate(sets):
        each.permitted &= wanted >> 32 * word & 0xFFFF_FFFF
        each.effective, each.inheritable = each.permitted, 0
    _check(libc.capset(ctypes.byref(head), ctypes.byref(sets)))
    _check(libc.prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), 0, 0, 0))
    held = sets[0].effective | sets[1].effective << 32
    return {number for number in range(highest + 1) if held >> number & 1}


def drop_privileges() -> set[int]:
    """Become what the watcher is; give the capabilities it holds.  Raises OSError."""
    with suppress(AttributeError):  # a C library without unshare(2)
        leave_network()
    return limit_capabilities(NEEDED)


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
