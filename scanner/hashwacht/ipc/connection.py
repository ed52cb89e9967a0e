"""One connection to the courier: many requests under way, and a sense for when it is dead."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field

from hashwacht.ipc.frames import HEADER, ProtocolError, pack_frame, parse_header
from hashwacht.ipc.message_codec import decode_reply, encode_request
from hashwacht.ipc.messages import CourierReply, CourierRequest, DescribeRequest

HEARTBEAT_TIMEOUT = 5.0
"""Seconds without a word, while something is asked, after which the other end is asked for a
sign of life, and again as many to give one.  It gives it at once whatever its services do."""


class ConnectionBroken(Exception):
    """The connection is of no use any more.  *hung*: the other end is there and says nothing."""

    def __init__(self, detail: str, *, unresponsive: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.unresponsive = unresponsive


@dataclass(frozen=True, slots=True)
class _Asked:
    request: CourierRequest
    at: float
    answer: Future[CourierReply] = field(default_factory=Future)


class Connection:
    """Asks and hears, in any order.  Thread-safe.  A thread of its own reads."""

    def __init__(
        self, connected: socket.socket, heartbeat_timeout: float = HEARTBEAT_TIMEOUT
    ) -> None:
        """Take a connected socket, which it will close."""
        self._socket = connected
        self._heartbeat_timeout = heartbeat_timeout
        self._numbers = itertools.count(1)
        self._asked: dict[int, _Asked] = {}
        self._last_number = 0
        self._lock = threading.Lock()
        self._turn_to_send = threading.Lock()
        self._broken: ConnectionBroken | None = None
        self._socket.settimeout(heartbeat_timeout)
        self._heard_at = time.monotonic()
        self._reader = threading.Thread(target=self._read_on, name="courier", daemon=True)
        self._reader.start()

    @property
    def broken(self) -> ConnectionBroken | None:
        """Say why it is of no use any more, if it is not."""
        return self._broken

    def call(self, request: CourierRequest, seconds: float) -> CourierReply:
        """Ask, and wait for the answer.  Raises Broken, TimeoutError."""
        number, answer = self._send(request)
        try:
            return answer.result(seconds)
        finally:
            with self._lock:
                self._asked.pop(number, None)

    def close(self) -> None:
        """Hang up; whoever waits gets Broken."""
        self._break(ConnectionBroken("the connection was closed"))
        if threading.current_thread() is not self._reader:
            self._reader.join()

    def _send(self, request: CourierRequest) -> tuple[int, Future[CourierReply]]:
        asked = _Asked(request, time.monotonic())
        with self._turn_to_send:
            with self._lock:
                if self._broken is not None:
                    raise self._broken
                number = self._last_number = next(self._numbers)
                self._asked[number] = asked
            try:
                self._socket.sendall(pack_frame(number, encode_request(request)))
            except OSError as error:
                unresponsive = isinstance(error, TimeoutError)
                self._break(
                    ConnectionBroken(
                        "it takes nothing" if unresponsive else "it hung up",
                        unresponsive=unresponsive,
                    )
                )
        return number, asked.answer

    def _read_on(self) -> None:
        """Hand every answer to whoever waits for it, until the end."""
        try:
            while True:
                number, length = parse_header(self._read(HEADER.size))
                self._settle(number, self._read(length))
        except ConnectionBroken as error:
            self._break(error)
        except ProtocolError as error:
            self._break(ConnectionBroken(f"it says nonsense: {error}", unresponsive=True))
        except OSError:
            self._break(ConnectionBroken("it hung up"))

    def _settle(self, number: int, body: bytes) -> None:
        """Answer one; a late answer, for which nobody waits any more, is passed over."""
        with self._lock:
            asked = self._asked.pop(number, None)
            known = 0 < number <= self._last_number
        if asked is None:
            if not known:
                raise ProtocolError("an answer to nothing")
            return
        try:
            asked.answer.set_result(decode_reply(body, asked.request))
        except ProtocolError:
            asked.answer.set_exception(ConnectionBroken("it says nonsense", unresponsive=True))
            raise

    def _read(self, length: int) -> bytes:
        """Read just so many bytes; whenever it is silent for long, ask if it lives."""
        parts = bytearray()
        while len(parts) < length:
            try:
                part = self._socket.recv(length - len(parts))
            except TimeoutError:
                self._listen_for_life()
                continue
            if not part:
                raise ConnectionBroken("it hung up")
            self._heard_at = time.monotonic()
            parts += part
        return bytes(parts)

    def _listen_for_life(self) -> None:
        """Raise Broken if it was asked for a sign of life and has given none."""
        now = time.monotonic()
        with self._lock:
            waiting = list(self._asked.values())
        signs = [each.at for each in waiting if isinstance(each.request, DescribeRequest)]
        since = max(self._heard_at, min((each.at for each in waiting), default=now))
        if signs and now - max(self._heard_at, min(signs)) >= self._heartbeat_timeout:
            raise ConnectionBroken("it does not answer", unresponsive=True)
        if not signs and waiting and now - since >= self._heartbeat_timeout:
            self._send(DescribeRequest())

    def _break(self, why: ConnectionBroken) -> None:
        """Give up: nobody waits in vain."""
        with self._lock:
            if self._broken is None:
                self._broken = why
            waiting, self._asked = self._asked, {}
        for each in waiting.values():
            if not each.answer.done():
                each.answer.set_exception(why)
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the reader
        if threading.current_thread() is self._reader:
            self._socket.close()
