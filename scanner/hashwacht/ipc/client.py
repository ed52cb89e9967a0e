"""The scanner's way to the courier: connects when needed, again and again, and never raises late.

In the :mod:`pauses <hashwacht.platform.backoff>` between two attempts everything is told at once
that it could not be asked: local lists must not wait for an outage.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from hashwacht.ipc.connection import SILENCE, Broken, Connection
from hashwacht.ipc.messages import Reply, Request
from hashwacht.ipc.sockets import connect
from hashwacht.platform.backoff import ABSENT, HUNG, Pauses

MOST_AT_ONCE = 64
"""Requests under way on one connection; more wait here."""


class Unreached(Exception):
    """There is no answer, and why."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Link:
    """One connection at a time to the socket at *path*.  Thread-safe."""

    def __init__(self, path: Path, silence: float = SILENCE) -> None:
        """Open nothing before the first request; *silence* in seconds, as for a Connection."""
        self._path = path
        self._silence = silence
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(MOST_AT_ONCE)
        self._connection: Connection | None = None
        self._process = os.getpid()
        self._pauses = Pauses()
        self._closed = False

    def ask(self, request: Request, seconds: float) -> Reply:
        """Ask and wait, at most *seconds*.  Raises Unreached, RuntimeError after ``close``.

        A connection that ends under way is made anew once: a restart of the courier is not felt.
        """
        deadline = time.monotonic() + seconds
        if not self._room.acquire(timeout=seconds):
            raise Unreached("too much is being asked already")
        try:
            for attempt in (1, 2):
                connection = self._connected()
                try:
                    reply = connection.ask(request, max(0.0, deadline - time.monotonic()))
                except TimeoutError:
                    raise Unreached(f"not answered within {seconds:g} s") from None
                except Broken as error:
                    self._failed(connection, error)
                    if attempt > 1 or error.hung or self._closed:
                        raise Unreached(f"the courier broke off: {error.detail}") from None
                else:
                    self._pauses.end()
                    return reply
        finally:
            self._room.release()
        raise AssertionError("the second attempt returns or raises")

    def close(self) -> None:
        """Hang up.  Again: does nothing."""
        with self._lock:
            self._closed = True
            connection, self._connection = self._connection, None
        if connection is not None and self._process == os.getpid():
            connection.close()

    def _connected(self) -> Connection:
        """Give the connection, made anew if there is none.  Raises Unreached."""
        with self._lock:
            if self._closed:
                raise RuntimeError("the link was closed")
            if self._process != os.getpid():  # inherited over a fork: left to the parent
                self._process, self._connection = os.getpid(), None
            if self._connection is not None and self._connection.broken is None:
                return self._connection
            if self._pauses.now:
                raise Unreached(self._pauses.why)
            try:
                self._connection = Connection(connect(self._path, self._silence), self._silence)
            except OSError as error:
                reason = error.strerror or str(error)
                self._pauses.begin(f"the courier is out of reach: {reason}", ABSENT)
                raise Unreached(self._pauses.why) from None
            return self._connection

    def _failed(self, connection: Connection, error: Broken) -> None:
        """Drop a broken connection, once for all who met it."""
        with self._lock:
            if connection is not self._connection:
                return
            self._connection = None
            if error.hung:
                self._pauses.begin(f"the courier is of no use: {error.detail}", HUNG)
