"""The watcher: a separate process that watches whole file systems and can do little else.

It holds two capabilities, one to use fanotify and one to open directories by their handles, and
has no network.  It neither reads nor writes files.  Its socket accepts root, its own user, and
the owner of the directory of the socket; they receive the names of files.
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

STOP_DELAY = 0.5
"""Seconds until a request to stop is noticed at the latest."""

MAX_SCANNERS = 4
"""Connections at a time: there is one scanner, and a second one during a restart."""

HANG_TIMEOUT = 30.0
"""Seconds without a round after which a session counts as hanging."""

CAPABILITIES = frozenset({CAP_DAC_READ_SEARCH, CAP_SYS_ADMIN})
"""To open directories by their handles, and to use fanotify."""

_log = logging.getLogger(__name__)


def serve(
    socket_path: Path | int,
    stop: threading.Event,
    *,
    ready: Callable[[], None] = lambda: None,
    alive: Callable[[], None] = lambda: None,
) -> None:
    """Serve every scanner that connects until *stop* is set.

    *socket_path* is the path of the socket, or the descriptor of one that listens already.
    *ready* is called once it listens, *alive* about twice a second while no session hangs.  Must
    run in the main thread of a separate process, because it gives up privileges.  Raises
    ConfigurationError without the two capabilities or if it cannot leave the network, OSError
    if the socket cannot be created.
    """
    if isinstance(socket_path, int):
        listening = socket.socket(fileno=socket_path)
    else:
        listening = listen(socket_path)
    with closing(listening):
        _drop_privileges()
        ready()
        listening.settimeout(STOP_DELAY)
        sessions: list[_SessionThread] = []
        while not stop.is_set():
            sessions = [session for session in sessions if session.thread.is_alive()]
            if not any(session.hangs for session in sessions):
                alive()
            with suppress(TimeoutError):
                connected, _ = listening.accept()
                if len(sessions) < MAX_SCANNERS and _is_permitted(connected):
                    sessions.append(_SessionThread(connected, stop))
                else:
                    _log.warning("a connection was refused: not the scanner, or too many")
                    connected.close()
        for session in sessions:
            session.thread.join(STOP_DELAY * 4)


class _SessionThread:
    """The session of one scanner, in a thread."""

    def __init__(self, connected: socket.socket, stop: threading.Event) -> None:
        self._connected, self._stop = connected, stop
        self._session = FanotifySession(connected)
        self.thread = threading.Thread(target=self._run, name="session", daemon=True)
        self.thread.start()

    @property
    def hangs(self) -> bool:
        """True if the session makes no progress."""
        return time.monotonic() - self._session.last_round >= HANG_TIMEOUT

    def _run(self) -> None:
        with self._connected:
            try:
                self._session.run(self._stop)
            except (ProtocolError, OSError) as error:
                _log.warning("the connection to the scanner ended: %s", error)


def _drop_privileges() -> None:
    """Give up the network and all capabilities but two.  Raises ConfigurationError.

    The filter has to be active: CAP_SYS_ADMIN, which remains, can leave a namespace again.
    """
    if problem := leave_network()[FILTER]:
        raise ConfigurationError(
            f"the watcher cannot give up the network: {problem}",
            advice='Run it on a kernel with seccomp, or set daemon.watch_method to "inotify".',
        )
    held = limit_capabilities(CAPABILITIES)
    problem = "" if held >= CAPABILITIES else "the capabilities are missing"
    try:
        os.close(fanotify.open_group())
    except OSError as error:
        problem = problem or error.strerror or str(error)
    if problem:
        raise ConfigurationError(
            f"fanotify cannot be used: {problem}",
            advice="Give the watcher CAP_SYS_ADMIN and CAP_DAC_READ_SEARCH, or set"
            ' daemon.watch_method to "inotify".',
        )


def _is_permitted(connected: socket.socket) -> bool:
    """Return whether the peer is root, this user, or the owner of the socket's directory."""
    permitted = {0, os.geteuid()}
    with suppress(OSError):
        permitted.add(Path(connected.getsockname()).parent.stat().st_uid)
    return peer_uid(connected) in permitted
