"""One connection to the courier: many requests under way, and a sense for when it is dead."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field

from hashwacht.ipc.frames import HEAD, Nonsense, frame, read_head
from hashwacht.ipc.message_codec import decode_reply, encode_request
from hashwacht.ipc.messages import Describe, Reply, Request

SILENCE = 5.0
"""Seconds without a word, while something is asked, after which the other end is asked for a
sign of life, and again as many to give one.  It gives it at once whatever its services do."""


class Broken(Exception):
    """The connection is of no use any more.  *hung*: the other end is there and says nothing."""

    def __init__(self, detail: str, *, hung: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hung = hung


@dataclass(frozen=True, slots=True)
class _Asked:
    request: Request
    at: float
    answer: Future[Reply] = field(default_factory=Future)


class Connection:
    """Asks and hears, in any order.  Thread-safe.  A thread of its own reads."""

    def __init__(self, connected: socket.socket, silence: float = SILENCE) -> None:
        """Take a connected socket, which it will close."""
        self._socket = connected
        self._silence = silence
        self._numbers = itertools.count(1)
        self._asked: dict[int, _Asked] = {}
        self._last_number = 0
        self._lock = threading.Lock()
        self._turn_to_send = threading.Lock()
        self._broken: Broken | None = None
        self._socket.settimeout(silence)
        self._heard_at = time.monotonic()
        self._reader = threading.Thread(target=self._read_on, name="courier", daemon=True)
        self._reader.start()

    @property
    def broken(self) -> Broken | None:
        """Say why it is of no use any more, if it is not."""
        return self._broken

    def ask(self, request: Request, seconds: float) -> Reply:
        """Ask, and wait for the answer.  Raises Broken, TimeoutError."""
        number, answer = self._send(request)
        try:
            return answer.result(seconds)
        finally:
            with self._lock:
                self._asked.pop(number, None)

    def close(self) -> None:
        """Hang up; whoever waits gets Broken."""
        self._break(Broken("the connection was closed"))
        if threading.current_thread() is not self._reader:
            self._reader.join()

    def _send(self, request: Request) -> tuple[int, Future[Reply]]:
        asked = _Asked(request, time.monotonic())
        with self._turn_to_send:
            with self._lock:
                if self._broken is not None:
                    raise self._broken
                number = self._last_number = next(self._numbers)
                self._asked[number] = asked
            try:
                self._socket.sendall(frame(number, encode_request(request)))
            except OSError as error:
                hung = isinstance(error, TimeoutError)
                self._break(Broken("it takes nothing" if hung else "it hung up", hung=hung))
        return number, asked.answer

    def _read_on(self) -> None:
        """Hand every answer to whoever waits for it, until the end."""
        try:
            while True:
                number, length = read_head(self._read(HEAD.size))
                self._settle(number, self._read(length))
        except Broken as error:
            self._break(error)
        except Nonsense as error:
            self._break(Broken(f"it says nonsense: {error}", hung=True))
        except OSError:
            self._break(Broken("it hung up"))

    def _settle(self, number: int, body: bytes) -> None:
        """Answer one; a late answer, for which nobody waits any more, is passed over."""
        with self._lock:
            asked = self._asked.pop(number, None)
            known = 0 < number <= self._last_number
        if asked is None:
            if not known:
                raise Nonsense("an answer to nothing")
            return
        try:
            asked.answer.set_result(decode_reply(body, asked.request))
        except Nonsense:
            asked.answer.set_exception(Broken("it says nonsense", hung=True))
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
                raise Broken("it hung up")
            self._heard_at = time.monotonic()
            parts += part
        return bytes(parts)

    def _listen_for_life(self) -> None:
        """Raise Broken if it was asked for a sign of life and has given none."""
        now = time.monotonic()
        with self._lock:
            waiting = list(self._asked.values())
        signs = [each.at for each in waiting if isinstance(each.request, Describe)]
        since = max(self._heard_at, min((each.at for each in waiting), default=now))
        if signs and now - max(self._heard_at, min(signs)) >= self._silence:
            raise Broken("it does not answer", hung=True)
        if not signs and waiting and now - since >= self._silence:
            self._send(Describe())

    def _break(self, why: Broken) -> None:
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
