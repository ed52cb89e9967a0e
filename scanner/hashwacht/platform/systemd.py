"""systemd's protocols: status messages (sd_notify(3)), and descriptors that outlive the process.

Those are the sockets of socket units, and what a process has put into the descriptor store.

Without ``NOTIFY_SOCKET`` in the environment no message is sent, so callers need not check whether
they run under systemd.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import time
from array import array
from collections.abc import Callable, Mapping
from typing import Self

from hashwacht.core.text import replace_unprintable, truncate

_log = logging.getLogger(__name__)

FIRST = 3

PATIENCE = 5.0
"""Seconds to wait for a service manager that does not read."""

_LONGEST_STATUS = 200


def inherited_sockets(environ: Mapping[str, str], name: str) -> list[socket.socket]:
    """Return the listening sockets that systemd passed under *name* (sd_listen_fds_with_names(3)).

    The caller owns them, so it must be called once for each name.
    """
    passed = _passed_descriptors(environ)
    return [socket.socket(fileno=descriptor) for descriptor, label in passed if label == name]


def stored_descriptors(environ: Mapping[str, str], prefix: str) -> dict[str, int]:
    """Return the descriptors that a former process stored under names with *prefix*, by name.

    The caller owns them, so it must be called once for each prefix.
    """
    passed = _passed_descriptors(environ)
    return {label: descriptor for descriptor, label in passed if label.startswith(prefix)}


def _passed_descriptors(environ: Mapping[str, str]) -> list[tuple[int, str]]:
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    number = environ.get("LISTEN_FDS", "")
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    descriptors = range(FIRST, FIRST + (int(number) if number.isdecimal() else 0))
    passed = [*zip(descriptors, names, strict=False)]
    for descriptor, _ in passed:
        os.set_inheritable(descriptor, False)
    return passed


class SystemdNotifier:
    """Sends status messages.  Thread-safe; never raises and never waits for long.

    ``keep_alive`` belongs in the loop that does the work, once for each round: a watchdog fed by
    a separate thread proves only that this thread runs.  It may be called at any rate.
    """

    def __init__(
        self,
        address: str = "",
        watchdog: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Send to the Unix datagram socket *address* (``@``: abstract); empty: send nothing.

        *watchdog* is the number of seconds without a sign of life after which systemd kills us.
        """
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._every, self._clock = None if watchdog is None else watchdog / 4, clock
        self._fed, self._status = float("-inf"), ""
        self._socket: socket.socket | None = None
        if address.startswith(("@", "/")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.settimeout(PATIENCE)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Return a notifier as systemd asks for (sd_watchdog_enabled(3))."""
        address = environ.get("NOTIFY_SOCKET", "")
        meant = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        microseconds = environ.get("WATCHDOG_USEC", "") if meant else ""
        watchdog = int(microseconds) / 1e6 if microseconds.isdecimal() else None
        return cls(address, watchdog or None)

    def ready(self) -> None:
        """Report that the service is up, or that a reload has ended."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """Report the state in one line, unless it is unchanged."""
        line = truncate(replace_unprintable(text), _LONGEST_STATUS)
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}")

    def keep_alive(self) -> None:
        """Feed the watchdog."""
        now = self._clock()
        if self._every is not None and now - self._fed >= self._every:
            self._fed = now
            self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """Report that a reload has begun; ``ready`` reports its end."""
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send(f"RELOADING=1\nMONOTONIC_USEC={microseconds}")

    def stopping(self) -> None:
        """Report that the service is stopping."""
        self._send("STOPPING=1")

    def store(self, name: str, descriptor: int) -> None:
        """Put a copy of *descriptor* into the store, for the next process of the service.

        Needs FileDescriptorStoreMax= in the unit.  A descriptor in the store survives a restart
        and a crash, not a stop.
        """
        self._send(f"FDSTORE=1\nFDNAME={name}", descriptor)

    def remove_stored(self, name: str) -> None:
        """Remove the descriptors of this name from the store."""
        self._send(f"FDSTOREREMOVE=1\nFDNAME={name}")

    def wait_received(self) -> None:
        """Wait until the service manager has read everything that was sent.

        It drops the messages of a process that has ended meanwhile.  It closes its copy of the
        pipe when it comes to this message, also if it does not know BARRIER (before version 246).
        """
        if self._socket is None:
            return
        reading, writing = os.pipe2(os.O_CLOEXEC)
        try:
            self._send("BARRIER=1", writing)
            os.close(writing)
            select.select([reading], [], [], PATIENCE)
        finally:
            os.close(reading)

    @property
    def is_connected(self) -> bool:
        """True if there is a service manager that receives the messages."""
        return self._socket is not None

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, message: str, *descriptors: int) -> None:
        if self._socket is None:
            return
        try:
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))
            ancillary = [rights] if descriptors else []
            self._socket.sendmsg([message.encode()], ancillary, 0, self._address)
        except OSError as error:
            name = message.partition("=")[0]
            _log.warning("cannot send %s to systemd: %s", name, error)
