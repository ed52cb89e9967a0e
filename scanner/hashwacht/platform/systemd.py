"""Telling the service manager how it goes: the protocol of sd_notify(3), over a plain socket.

Without ``NOTIFY_SOCKET`` in the environment nothing is told to anybody, so that callers need not
ask where they run.

Sockets that the service manager opened for us (sd_listen_fds_with_names(3)).
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Self

from hashwacht.core.text import replace_unprintable, truncate

FIRST = 3


def inherited_sockets(environ: Mapping[str, str], name: str) -> list[socket.socket]:
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


_log = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds to wait for a manager that does not take what it must know."""

_LONGEST_STATUS = 200


class SystemdNotifier:
    """Sends what the manager wants to know.  Thread-safe; never raises, never waits for long.

    ``alive`` belongs into the loop that does the work, once for each round: a watchdog that is
    fed by a thread of its own proves only that this thread lives.  It may be called at any rate.
    """

    def __init__(
        self,
        address: str = "",
        watchdog: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Send to the Unix datagram socket *address* (``@``: abstract); empty: to nobody.

        *watchdog* is after how many seconds of silence the manager kills this process.
        """
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._every = None if watchdog is None else watchdog / 4
        self._clock = clock
        self._fed = float("-inf")
        self._status = ""
        self._socket: socket.socket | None = None
        if address.startswith(("@", "/")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.settimeout(PATIENCE)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Take what systemd gives: where to, and how often (sd_watchdog_enabled(3))."""
        address = environ.get("NOTIFY_SOCKET", "")
        meant = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        microseconds = environ.get("WATCHDOG_USEC", "") if meant else ""
        watchdog = int(microseconds) / 1e6 if microseconds.isdecimal() else None
        return cls(address, watchdog or None)

    def ready(self) -> None:
        """Say that everything is up; also the end of a reload."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """Say in one line what is going on; nothing is sent if that is known already."""
        line = truncate(replace_unprintable(text), _LONGEST_STATUS)
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}")

    def keep_alive(self) -> None:
        """Say that the work goes on."""
        now = self._clock()
        if self._every is not None and now - self._fed >= self._every:
            self._fed = now
            self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """Say that the configuration is read anew; ``ready`` says that it is done."""
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send(f"RELOADING=1\nMONOTONIC_USEC={microseconds}")

    def stopping(self) -> None:
        """Say that the work is coming to its end."""
        self._send("STOPPING=1")

    def close(self) -> None:
        """Tell no more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, message: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto(message.encode(), self._address)
        except OSError as error:
            name = message.partition("=")[0]
            _log.warning("the service manager was not told %s: %s", name, error)
