"""Sockets that the service manager opened for us (sd_listen_fds_with_names(3))."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

FIRST = 3


def inherited(environ: Mapping[str, str], name: str) -> list[socket.socket]:
    """Give the listening sockets that were handed to this process under *name*.

    The caller owns them.  Ask once for each name: a descriptor becomes one socket.
    """
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    number = environ.get("LISTEN_FDS", "")
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    found = range(FIRST, FIRST + (int(number) if number.isdecimal() else 0))
    return [
        _listening(descriptor)
        for descriptor, each in zip(found, names, strict=False)
        if each == name
    ]


def _listening(descriptor: int) -> socket.socket:
    os.set_inheritable(descriptor, False)
    return socket.socket(fileno=descriptor)
