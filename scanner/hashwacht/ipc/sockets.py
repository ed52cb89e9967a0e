"""Unix sockets by path, also by one that is longer than the 107 bytes of unix(7)."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LONGEST = 107
_CREDENTIALS = struct.Struct("iII")
"""Struct ucred: process, user, group."""

BACKLOG = 64
"""Connections that wait to be accepted."""


def connect(path: Path, seconds: float) -> socket.socket:
    """Connect to the stream socket at *path*; its operations then take *seconds* at most.

    Raises OSError.
    """
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.settimeout(seconds)
        with _short(path) as name:
            made.connect(name)
    except BaseException:
        made.close()
        raise
    return made


def listen(path: Path, group: int | None = None) -> socket.socket:
    """Listen at *path*, which only our own user and a *group* may use; what was left there goes.

    Makes the directory if it is not there: with mode 0700, or 0711 for a group.  Raises OSError.
    """
    _make(path.parent, 0o700 if group is None else 0o711)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        former = os.umask(0o177)
        try:
            with _short(path) as name:
                made.bind(name)
        finally:
            os.umask(former)
        if group is not None:
            os.chown(path, -1, group)
            path.chmod(0o660)
        made.listen(BACKLOG)
    except BaseException:
        made.close()
        raise
    return made


def _make(directory: Path, mode: int) -> None:
    with suppress(FileExistsError):
        directory.mkdir(mode=0o700, parents=True)
        directory.chmod(mode)  # whatever the umask says


def peer_uid(connection: socket.socket) -> int:
    """Give the user at the other end, as the kernel saw it when it connected (SO_PEERCRED)."""
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    user: int = _CREDENTIALS.unpack(packed)[1]
    return user


@contextmanager
def _short(path: Path) -> Iterator[bytes]:
    """Give a name for *path* that fits into an address."""
    name = os.fsencode(path)
    if len(name) <= _LONGEST:
        yield name
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield b"/proc/self/fd/%d/%s" % (directory, os.fsencode(path.name))
    finally:
        os.close(directory)
