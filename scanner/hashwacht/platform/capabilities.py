"""Capabilities of this process (capabilities(7)): all but a few are given up for good.

They belong to the calling thread and to what it starts, so there must be no other thread yet.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from hashwacht.platform.process import (
    check_call,
    clear_ambient_capabilities,
    drop_from_bounding_set,
    forbid_new_privileges,
    libc,
)

CAP_DAC_READ_SEARCH = 2
CAP_SYS_ADMIN = 21

_VERSION = 0x2008_0522
"""_LINUX_CAPABILITY_VERSION_3: two words for each set."""


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def limit_capabilities(capabilities: Iterable[int]) -> set[int]:
    """Drop all capabilities but these; return those of them that the process holds.

    The others also leave the bounding set where that is permitted (CAP_SETPCAP), so that no
    started program can have them.  Raises OSError.
    """
    wanted = sum(1 << number for number in capabilities)
    highest = int(Path("/proc/sys/kernel/cap_last_cap").read_bytes())
    with suppress(PermissionError):
        for number in range(highest + 1):
            if not wanted >> number & 1:
                drop_from_bounding_set(number)
    with suppress(OSError):  # kernels before 4.3 have no ambient set
        clear_ambient_capabilities()
    header, sets = _Header(_VERSION, 0), (_Sets * 2)()
    check_call(libc().capget(ctypes.byref(header), ctypes.byref(sets)))
    for word, half in enumerate(sets):
        half.permitted &= wanted >> 32 * word & 0xFFFF_FFFF
        half.effective, half.inheritable = half.permitted, 0
    check_call(libc().capset(ctypes.byref(header), ctypes.byref(sets)))
    forbid_new_privileges()
    held = sets[0].effective | sets[1].effective << 32
    return {number for number in range(highest + 1) if held >> number & 1}
