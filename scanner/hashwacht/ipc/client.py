"""The scanner's client of the courier: connects when needed and never raises late.

During the back-off between two attempts every call fails at once: local lists must not wait for
an outage.
"""

from __future__ import annotations

import itertools
import os
import socket
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from hashwacht.ipc.codec import FrameSplitter, ProtocolError, encode, pack_frame
from hashwacht.ipc.messages import CourierReply, CourierRequest, DescribeRequest, decode_reply
from hashwacht.ipc.sockets import connect
from hashwacht.platform.backoff import ABSENT, UNRESPONSIVE, Cooldown

MAX_CONCURRENT_REQUESTS = 64
"""Requests under way on one connection; more wait for a slot."""

HEARTBEAT_TIMEOUT = 5.0
"""Seconds of silence with a request under way until a heartbeat is requested, and as many until
it must arrive.  The courier sends it at once, however slow its services are."""

_PIECE = 64 << 10


class CourierUnreachable(Exception):
    """The courier gave no answer; *detail* says why."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class IpcClient:
    """One connection at a time to the socket at *path*.  Thread-safe."""

    def __init__(self, path: Path, heartbeat_timeout: float = HEARTBEAT_TIMEOUT) -> None:
        self._path = path
        self._heartbeat_timeout = heartbeat_timeout
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(MAX_CONCURRENT_REQUESTS)
        self._connection: Connection | None = None
        self._process = os.getpid()
        self._cooldown = Cooldown()
        self._closed = False

    def call(self, request: CourierRequest, seconds: float) -> CourierReply:
        """Return the reply, within *seconds*.

        A connection that ends during the call is replaced once, so that a restart of the courier
        goes unnoticed.  Raises CourierUnreachable, and RuntimeError after ``close``.
        """
        deadline = time.monotonic() + seconds
        if not self._slots.acquire(timeout=seconds):
            raise CourierUnreachable("too many requests are under way")
        try:
            for attempt in (1, 2):
                connection = self._connected()
                try:
                    reply = connection.call(request, max(0.0, deadline - time.monotonic()))
                except TimeoutError:
                    raise CourierUnreachable(f"no answer within {seconds:g} s") from None
                except ConnectionBroken as error:
                    self._drop(connection, error)
                    if attempt > 1 or error.unresponsive or self._closed:
                        detail = f"the connection to the courier broke: {error.detail}"
                        raise CourierUnreachable(detail) from None
                else:
                    self._cooldown.reset()
                    return reply
        finally:
            self._slots.release()
        raise AssertionError("the second attempt returns or raises")

    def close(self) -> None:
        """Close the connection.  Idempotent."""
        with self._lock:
            self._closed = True
            connection, self._connection = self._connection, None
        if connection is not None and self._process == os.getpid():
            connection.close()

    def _connected(self) -> Connection:
        with self._lock:
            if self._closed:
                raise RuntimeError("the client was closed")
            if self._process != os.getpid():  # inherited over a fork: left to the parent
                self._process, self._connection = os.getpid(), None
            if self._connection is not None and self._connection.broken is None:
                return self._connection
            if self._cooldown.active:
                raise CourierUnreachable(self._cooldown.reason)
            try:
                connected = connect(self._path, self._heartbeat_timeout)
            except OSError as error:
                reason = f"the courier is out of reach: {error.strerror or error}"
                self._cooldown.start(reason, ABSENT)
                raise CourierUnreachable(self._cooldown.reason) from None
            self._connection = Connection(connected, self._heartbeat_timeout)
            return self._connection

    def _drop(self, connection: Connection, error: ConnectionBroken) -> None:
        """Drop a broken connection, once for all threads that use it."""
        with self._lock:
            if connection is self._connection:
                self._connection = None
                if error.unresponsive:
                    reason = f"the courier does not work: {error.detail}"
                    self._cooldown.start(reason, UNRESPONSIVE)


class ConnectionBroken(Exception):
    """The connection cannot be used any more.

    *unresponsive*: the courier is there but silent, or sends what violates the protocol.
    """

    def __init__(self, detail: str, *, unresponsive: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.unresponsive = unresponsive


@dataclass(frozen=True, slots=True)
class _PendingRequest:
    request: CourierRequest
    sent_at: float
    reply: Future[CourierReply] = field(default_factory=Future)


class Connection:
    """Sends requests and receives replies, in any order.  Thread-safe; one thread reads."""

    def __init__(
        self, connected: socket.socket, heartbeat_timeout: float = HEARTBEAT_TIMEOUT
    ) -> None:
        """Take over a connected socket; ``close`` closes it."""
        self._socket = connected
        self._heartbeat_timeout = heartbeat_timeout
        self._numbers = itertools.count(1)
        self._pending: dict[int, _PendingRequest] = {}
        self._last_number = 0
        self._lock = threading.Lock()
        self._send_lock = threading.Lock()
        self.broken: ConnectionBroken | None = None
        self._socket.settimeout(heartbeat_timeout)
        self._received_at = time.monotonic()
        self._reader = threading.Thread(target=self._receive, name="courier", daemon=True)
        self._reader.start()

    def call(self, request: CourierRequest, seconds: float) -> CourierReply:
        """Return the reply.  Raises ConnectionBroken, TimeoutError."""
        number, reply = self._send(request)
        try:
            return reply.result(seconds)
        finally:
            with self._lock:
                self._pending.pop(number, None)

    def close(self) -> None:
        """Close the connection; calls under way raise ConnectionBroken."""
        self._break(ConnectionBroken("the connection was closed"))
        if threading.current_thread() is not self._reader:
            self._reader.join()

    def _send(self, request: CourierRequest) -> tuple[int, Future[CourierReply]]:
        pending = _PendingRequest(request, time.monotonic())
        with self._send_lock:
            with self._lock:
                if self.broken is not None:
                    raise self.broken
                number = self._last_number = next(self._numbers)
                self._pending[number] = pending
            try:
                self._socket.sendall(pack_frame(number, encode(request)))
            except TimeoutError:
                self._break(ConnectionBroken("it does not read requests", unresponsive=True))
            except OSError:
                self._break(ConnectionBroken("it closed the connection"))
        return number, pending.reply

    def _receive(self) -> None:
        splitter = FrameSplitter()
        try:
            while piece := self._receive_piece():
                for number, body in splitter.feed(piece):
                    self._resolve(number, body)
            self._break(ConnectionBroken("it closed the connection"))
        except ConnectionBroken as error:
            self._break(error)
        except ProtocolError as error:
            self._break(ConnectionBroken(f"an invalid reply: {error}", unresponsive=True))
        except OSError:
            self._break(ConnectionBroken("it closed the connection"))

    def _receive_piece(self) -> bytes:
        while True:
            try:
                piece = self._socket.recv(_PIECE)
            except TimeoutError:
                self._check_heartbeat()
            else:
                self._received_at = time.monotonic()
                return piece

    def _resolve(self, number: int, body: bytes) -> None:
        """Resolve one reply; one whose call has timed out is dropped."""
        with self._lock:
            pending = self._pending.pop(number, None)
            known = 0 < number <= self._last_number
        if not known:
            raise ProtocolError("a reply without a request")
        if pending is None:
            return
        try:
            pending.reply.set_result(decode_reply(body, pending.request))
        except ProtocolError:
            pending.reply.set_exception(ConnectionBroken("an invalid reply", unresponsive=True))
            raise

    def _check_heartbeat(self) -> None:
        """Request a heartbeat after a long silence.  Raises ConnectionBroken if one is overdue."""
        now = time.monotonic()
        with self._lock:
            pending = list(self._pending.values())
        heartbeats = [p.sent_at for p in pending if isinstance(p.request, DescribeRequest)]
        if heartbeats:
            if now - max(self._received_at, min(heartbeats)) >= self._heartbeat_timeout:
                raise ConnectionBroken("it does not answer", unresponsive=True)
        elif pending:
            silent_since = max(self._received_at, min(p.sent_at for p in pending))
            if now - silent_since >= self._heartbeat_timeout:
                self._send(DescribeRequest())

    def _break(self, reason: ConnectionBroken) -> None:
        with self._lock:
            self.broken = self.broken or reason
            pending, self._pending = self._pending, {}
        for each in pending.values():
            if not each.reply.done():
                each.reply.set_exception(reason)
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the reader
        if threading.current_thread() is self._reader:
            self._socket.close()
