"""The watcher: a process of its own that may watch whole file systems, and can do little else.

It holds two capabilities, one to use fanotify and one to find directories by their handles, and
has no network.  It reads no file and writes none.  Names go to whoever connects to its socket:
root, its own user, or the owner of the directory that the socket lies in.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from hashwacht.core.errors import ConfigurationError
from hashwacht.ipc.frames import ProtocolError
from hashwacht.ipc.sockets import listen, peer_uid
from hashwacht.platform import fanotify
from hashwacht.platform.capabilities import (
    CAP_DAC_READ_SEARCH,
    CAP_SYS_ADMIN,
    limit_capabilities,
)
from hashwacht.platform.network import FILTER, leave_network
from hashwacht.watch.fanotify_session import FanotifySession

WAIT = 0.5
"""Seconds after which a wish to stop is noticed at the latest."""

MOST = 4
"""Scanners at a time: there is one, and another one while it begins anew."""

HUNG = 30.0
"""Seconds after which a thread that has not come round is taken to hang."""

NEEDED = frozenset({CAP_DAC_READ_SEARCH, CAP_SYS_ADMIN})
"""Capabilities: to find directories by their handles, and to use fanotify."""

_log = logging.getLogger(__name__)


def serve(
    socket_path: Path | int,
    stop: threading.Event,
    *,
    ready: Callable[[], None] = lambda: None,
    alive: Callable[[], None] = lambda: None,
) -> None:
    """Serve every scanner that connects until *stop* is set.

    There are two for a while when a scanner begins anew.  *socket_path* is
    where to make the socket, or the descriptor of one that listens already.  *ready* is called
    when it serves, *alive* about twice a second as long as all that it does goes on.  To be
    called by the first thread of a process of its own: it gives up privileges for good.  Raises
    ConfigurationError without the two capabilities or if it cannot leave the network, OSError
    if there can be no socket.
    """
    listening = _listen(socket_path)
    with closing(listening):
        _drop_privileges()
        ready()
        listening.settimeout(WAIT)
        served: list[_Served] = []
        while not stop.is_set():
            served = [each for each in served if each.thread.is_alive()]
            if all(each.goes_on for each in served):
                alive()
            with suppress(TimeoutError):
                connected, _ = listening.accept()
                if len(served) < MOST and _is_welcome(connected):
                    served.append(_Served(connected, stop))
                else:
                    _log.warning("refused to tell somebody names: not the scanner, or too often")
                    connected.close()
        for each in served:
            each.thread.join(WAIT * 4)


class _Served:
    """A scanner that is served by a thread."""

    def __init__(self, connected: socket.socket, stop: threading.Event) -> None:
        self._connected, self._stop = connected, stop
        self._session = FanotifySession(connected)
        self.thread = threading.Thread(target=self._run, name="session", daemon=True)
        self.thread.start()

    @property
    def goes_on(self) -> bool:
        """False if its thread hangs somewhere."""
        return time.monotonic() - self._session.last_round < HUNG

    def _run(self) -> None:
        with self._connected:
            try:
                self._session.run(self._stop)
            except (ProtocolError, OSError) as error:
                _log.warning("the connection to the scanner ended: %s", error)


def _listen(where: Path | int) -> socket.socket:
    return socket.socket(fileno=where) if isinstance(where, int) else listen(where)


def _drop_privileges() -> None:
    """Give up the network and all capabilities but two.  Raises ConfigurationError.

    The filter has to be active: CAP_SYS_ADMIN, which remains, can leave a namespace again.
    """
    if problem := leave_network()[FILTER]:
        raise ConfigurationError(
            f"the watcher cannot give up the network: {problem}",
            advice='Run it on a kernel with seccomp, or set daemon.watch_method to "inotify".',
        )
    held = limit_capabilities(NEEDED)
    problem = "" if held >= NEEDED else "the capabilities are missing"
    try:
        os.close(fanotify.open_group())
    except OSError as error:
        problem = problem or error.strerror or str(error)
    if problem:
        raise ConfigurationError(
            f"fanotify cannot be used: {problem}",
            advice="Give the watcher CAP_SYS_ADMIN and CAP_DAC_READ_SEARCH, or set"
            " daemon.watch_method"
            ' to "inotify".',
        )


def _is_welcome(connected: socket.socket) -> bool:
    """Say if the other end is root, our own user, or owns the directory of the socket."""
    welcome = {0, os.geteuid()}
    with suppress(OSError):
        welcome.add(Path(connected.getsockname()).parent.stat().st_uid)
    return peer_uid(connected) in welcome
