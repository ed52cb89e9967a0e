"""Landlock (landlock(7)): afterwards files can be opened only below the paths that were allowed.

It is independent of ``seccomp``.  It is called through ctypes: PyPI has only a development release
of a wrapper, and three system calls are enough.  It holds for the calling thread and what that
starts, so there must be no other thread yet.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from hashwacht.platform.process import SandboxUnavailable, check_call, libc

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
"""landlock_create_ruleset, _add_rule, _restrict_self: the same number on every architecture."""
_ASK_FOR_VERSION = 1
_PATH_BENEATH = 1

_RIGHTS = ((1, 13), (2, 14), (3, 15), (5, 16))
"""(version of the interface, number of file system rights it knows)."""
_READ_FILE, _READ_DIRECTORY = 1 << 2, 1 << 3
_NETWORK_SINCE, _BIND, _CONNECT = 4, 0b01, 0b10
"""TCP."""
_SCOPES_SINCE, _ABSTRACT_SOCKETS, _SIGNALS = 6, 0b01, 0b10
"""Abstract Unix sockets, and signals to processes outside."""


class _Ruleset(ctypes.Structure):
    """Struct landlock_ruleset_attr."""

    _fields_ = (
        ("files", ctypes.c_uint64),
        ("network", ctypes.c_uint64),
        ("scopes", ctypes.c_uint64),
    )


class _Beneath(ctypes.Structure):
    """Struct landlock_path_beneath_attr."""

    _pack_ = 1
    _fields_ = (("rights", ctypes.c_uint64), ("directory", ctypes.c_int32))


def restrict() -> None:
    """Drop every right that this kernel's Landlock knows, for good and without exception.

    The process must have given up new privileges.  Raises SandboxUnavailable.
    """
    _restrict((), network=_BIND | _CONNECT, scopes=_ABSTRACT_SOCKETS | _SIGNALS)


def restrict_to(readable: Iterable[Path]) -> None:
    """Make every file inaccessible but those at and below *readable*, which can still be read.

    Paths that do not exist are skipped.  The process can write no file, listen on no TCP port and
    signal no process outside; it can make connections.  It must have given up new privileges.
    Raises SandboxUnavailable.
    """
    _restrict(readable, network=_BIND, scopes=_SIGNALS)


def _restrict(readable: Iterable[Path], *, network: int, scopes: int) -> None:
    version = _call(_CREATE, None, 0, _ASK_FOR_VERSION)
    rights = max(bits for since, bits in _RIGHTS if version >= since)
    ruleset = _Ruleset((1 << rights) - 1)
    size = 8
    if version >= _NETWORK_SINCE:
        ruleset.network, size = network, 16
    if version >= _SCOPES_SINCE:
        ruleset.scopes, size = scopes, 24
    descriptor = _call(_CREATE, ctypes.byref(ruleset), size, 0)
    try:
        for path in readable:
            with suppress(OSError):
                _allow(descriptor, path)
        _call(_RESTRICT, descriptor, 0)
    finally:
        os.close(descriptor)


def _allow(ruleset: int, path: Path) -> None:
    """Allow reading *path* and what is below.  Raises OSError if it does not exist."""
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rights = _READ_FILE | (_READ_DIRECTORY if path.is_dir() else 0)
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(_Beneath(rights, fd)), 0)
    finally:
        os.close(fd)


def _call(number: int, *arguments: object) -> int:
    values = (ctypes.c_long(value) if isinstance(value, int) else value for value in arguments)
    try:
        return check_call(libc().syscall(ctypes.c_long(number), *values))
    except OSError as error:
        raise SandboxUnavailable(error.strerror) from None
