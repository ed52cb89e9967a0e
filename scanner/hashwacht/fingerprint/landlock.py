"""Landlock (landlock(7)): from here on, no file of any file system can be opened or changed.

A second lock beside :mod:`hashwacht.fingerprint.seccomp`, made of other code in the kernel.  By
ctypes, as PyPI has only a development release of a wrapper, and three calls are all it takes.
"""

from __future__ import annotations

import ctypes
import os

from hashwacht.fingerprint.seccomp import Unsupported

_CREATE, _RESTRICT = 444, 446
"""landlock_create_ruleset and landlock_restrict_self: the same number on every architecture."""
_ASK_FOR_VERSION = 1

_RIGHTS = ((1, 13), (2, 14), (3, 15), (5, 16))
"""(version of the interface, number of file system rights it knows)."""
_NETWORK_SINCE, _NETWORK = 4, 0b11
"""Binding and connecting TCP."""
_SCOPES_SINCE, _SCOPES = 6, 0b11
"""Abstract UNIX sockets and signals stay inside."""


class _Ruleset(ctypes.Structure):
    """Struct landlock_ruleset_attr."""

    _fields_ = (
        ("files", ctypes.c_uint64),
        ("network", ctypes.c_uint64),
        ("scopes", ctypes.c_uint64),
    )


def restrict() -> None:
    """Give up every right that this kernel's Landlock knows, for good, with no exception.

    This process must have given up new privileges.  Raises Unsupported.
    """
    version = _call(_CREATE, None, 0, _ASK_FOR_VERSION)
    rights = max(bits for since, bits in _RIGHTS if version >= since)
    ruleset = _Ruleset((1 << rights) - 1)
    size = 8
    if version >= _NETWORK_SINCE:
        ruleset.network, size = _NETWORK, 16
    if version >= _SCOPES_SINCE:
        ruleset.scopes, size = _SCOPES, 24
    descriptor = _call(_CREATE, ctypes.byref(ruleset), size, 0)
    try:
        _call(_RESTRICT, descriptor, 0)
    finally:
        os.close(descriptor)


def _call(number: int, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    given = (ctypes.c_long(each) if isinstance(each, int) else each for each in arguments)
    result: int = libc.syscall(ctypes.c_long(number), *given)
    if result < 0:
        raise Unsupported(f"the kernel says: {os.strerror(ctypes.get_errno())}")
    return result
