"""Make the kernel refuse some system calls of this process, as other file systems do.

The refusal is a seccomp(2) filter, so the tested code runs to its end as it would there.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import stat
import struct

_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
"""Load a word; jump if it is equal, if it has one of these bits; end (linux/bpf_common.h)."""

_NUMBER, _SECOND, _THIRD = 0, 24, 32
"""Offsets in struct seccomp_data: the number of the call, and low words of its arguments."""

_ALLOW, _REFUSE = 0x7FFF_0000, 0x0005_0000
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2

_RENAMEAT2 = {"x86_64": 316, "aarch64": 276}
_CHMOD = {"x86_64": (91, 90), "aarch64": (52, 52)}
"""fchmod, and chmod where there is one: the mode is their second argument."""
_CHMODAT = {"x86_64": (268, 452), "aarch64": (53, 452)}
"""fchmodat and fchmodat2: the mode is their third argument."""

Instruction = tuple[int, int, int, int]


def refuse_renameat2() -> None:
    """Make every renameat2 fail with EINVAL, as on NFS."""
    number = _RENAMEAT2[platform.machine()]
    _install(
        (_LOAD, 0, 0, _NUMBER),
        (_EQUAL, 0, 1, number),
        (_RETURN, 0, 0, _REFUSE | errno.EINVAL),
        (_RETURN, 0, 0, _ALLOW),
    )


def refuse_set_id_bits() -> None:
    """Make every change of a mode to one with set-user-id or set-group-id fail with EPERM.

    RestrictSUIDSGID= has this effect (systemd.exec(5)).
    """
    bits, machine = stat.S_ISUID | stat.S_ISGID, platform.machine()
    (first, second), (third, fourth) = _CHMOD[machine], _CHMODAT[machine]
    _install(
        (_LOAD, 0, 0, _NUMBER),
        (_EQUAL, 4, 0, first),
        (_EQUAL, 3, 0, second),
        (_EQUAL, 4, 0, third),
        (_EQUAL, 3, 0, fourth),
        (_RETURN, 0, 0, _ALLOW),
        (_LOAD, 0, 0, _SECOND),
        (_ANY_BIT, 2, 3, bits),
        (_LOAD, 0, 0, _THIRD),
        (_ANY_BIT, 0, 1, bits),
        (_RETURN, 0, 0, _REFUSE | errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
    )


def _install(*program: Instruction) -> None:
    code = b"".join(struct.pack("<HBBI", *instruction) for instruction in program)
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(code)
    filtered = struct.pack("@HP", len(program), ctypes.addressof(buffer))
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or libc.prctl(_SECCOMP, _FILTER, filtered, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
