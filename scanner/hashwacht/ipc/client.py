"""The scanner's way to the courier: connects when needed, again and again, and never raises late.

In the :mod:`pauses <hashwacht.platform.backoff>` between two attempts everything is told at once
that it could not be asked: local lists must not wait for an outage.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from hashwacht.ipc.connection import HEARTBEAT_TIMEOUT, Connection, ConnectionBroken
from hashwacht.ipc.messages import CourierReply, CourierRequest
from hashwacht.ipc.sockets import connect
from hashwacht.platform.backoff import ABSENT_DELAYS, UNRESPONSIVE_DELAYS, Backoff

MAX_CONCURRENT_REQUESTS = 64
"""Requests under way on one connection; more wait here."""


class CourierUnreachable(Exception):
    """There is no answer, and why."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class IpcClient:
    """One connection at a time to the socket at *path*.  Thread-safe."""

    def __init__(self, path: Path, heartbeat_timeout: float = HEARTBEAT_TIMEOUT) -> None:
        """Open nothing before the first request; *silence* in seconds, as for a Connection."""
        self._path = path
        self._heartbeat_timeout = heartbeat_timeout
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(MAX_CONCURRENT_REQUESTS)
        self._connection: Connection | None = None
        self._process = os.getpid()
        self._backoff = Backoff()
        self._closed = False

    def call(self, request: CourierRequest, seconds: float) -> CourierReply:
        """Ask and wait, at most *seconds*.  Raises Unreached, RuntimeError after ``close``.

        A connection that ends under way is made anew once: a restart of the courier is not felt.
        """
        deadline = time.monotonic() + seconds
        if not self._room.acquire(timeout=seconds):
            raise CourierUnreachable("too much is being asked already")
        try:
            for attempt in (1, 2):
                connection = self._connected()
                try:
                    reply = connection.call(request, max(0.0, deadline - time.monotonic()))
                except TimeoutError:
                    raise CourierUnreachable(f"not answered within {seconds:g} s") from None
                except ConnectionBroken as error:
                    self._failed(connection, error)
                    if attempt > 1 or error.unresponsive or self._closed:
                        raise CourierUnreachable(f"the courier broke off: {error.detail}") from None
                else:
                    self._backoff.reset()
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
            if self._backoff.active:
                raise CourierUnreachable(self._backoff.reason)
            try:
                self._connection = Connection(
                    connect(self._path, self._heartbeat_timeout), self._heartbeat_timeout
                )
            except OSError as error:
                reason = error.strerror or str(error)
                self._backoff.start(f"the courier is out of reach: {reason}", ABSENT_DELAYS)
                raise CourierUnreachable(self._backoff.reason) from None
            return self._connection

    def _failed(self, connection: Connection, error: ConnectionBroken) -> None:
        """Drop a broken connection, once for all who met it."""
        with self._lock:
            if connection is not self._connection:
                return
            self._connection = None
            if error.unresponsive:
                self._backoff.start(
                    f"the courier is of no use: {error.detail}", UNRESPONSIVE_DELAYS
                )
