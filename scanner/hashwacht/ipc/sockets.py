"""Unix sockets by path, also by a path longer than the 107 bytes of unix(7)."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_MAX_ADDRESS = 107
_CREDENTIALS = struct.Struct("iII")
"""Struct ucred: process, user, group."""

_INT = struct.Struct("i")

_MAX_DESCRIPTORS = 4
"""Descriptors that are received in one read; the kernel closes further ones."""

BACKLOG = 64
"""Connections that can wait to be accepted."""


def connect(path: Path, seconds: float) -> socket.socket:
    """Connect to the stream socket at *path*, with a timeout of *seconds* for each operation.

    Raises OSError.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds)
        with _address(path) as name:
            connection.connect(name)
    except BaseException:
        connection.close()
        raise
    return connection


def listen(path: Path, group: int | None = None, mode: int = 0o660) -> socket.socket:
    """Listen at *path* for this user and *group* only, and replace a socket that was left there.

    With a group, *mode* decides who may connect.  Creates the directory if needed, with mode 0700,
    or 0711 for a group.  Raises OSError.
    """
    _create_directory(path.parent, 0o700 if group is None else 0o711)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        previous = os.umask(0o177)
        try:
            with _address(path) as name:
                listener.bind(name)
        finally:
            os.umask(previous)
        if group is not None:
            os.chown(path, -1, group)
            path.chmod(mode)
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _create_directory(directory: Path, mode: int) -> None:
    with suppress(FileExistsError):
        directory.mkdir(mode=0o700, parents=True)
        directory.chmod(mode)  # independent of the umask


def peer_uid(connection: socket.socket) -> int:
    """Return the user of the peer when it connected, as the kernel reports it (SO_PEERCRED)."""
    return peer_credentials(connection)[1]


def peer_credentials(connection: socket.socket) -> tuple[int, int, int]:
    """Return process, user and group of the peer when it connected (SO_PEERCRED)."""
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    process, user, group = _CREDENTIALS.unpack(packed)
    return process, user, group


def receive_with_fds(connection: socket.socket, buffer: memoryview) -> tuple[int, list[int]]:
    """Read into *buffer*; return the number of bytes and the descriptors that came with them.

    The caller closes them.  Raises OSError.
    """
    flags, space = socket.MSG_CMSG_CLOEXEC, socket.CMSG_SPACE(_MAX_DESCRIPTORS * _INT.size)
    size, ancillary, _, _ = connection.recvmsg_into([buffer], space, flags)
    descriptors: list[int] = []
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            usable = len(content) - len(content) % _INT.size
            descriptors += (number for (number,) in _INT.iter_unpack(content[:usable]))
    return size, descriptors


@contextmanager
def _address(path: Path) -> Iterator[bytes]:
    """Yield a name for *path* that fits into a socket address."""
    name = os.fsencode(path)
    if len(name) <= _MAX_ADDRESS:
        yield name
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield b"/proc/self/fd/%d/%s" % (directory, os.fsencode(path.name))
    finally:
        os.close(directory)
