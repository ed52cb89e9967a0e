"""The socket for uploads: web applications hand over open files here and wait for the verdict.

Who may connect is decided by the kernel: the socket's owner, group and mode.  One connection is
one question and has a thread of its own, which mostly waits for a worker.  Whatever comes that no
application of ours would send ends its connection and nothing else; one user cannot take all
places.  At the end nobody gets half an answer: connections are closed, and the applications ask
the next daemon.
"""

from __future__ import annotations

import logging
import os
import selectors
import socket
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Self

from hashwacht.core.errors import HashwachtError, Interrupted
from hashwacht.daemon.upload_handler import UploadHandler
from hashwacht.ipc.frames import ProtocolError
from hashwacht.ipc.sockets import peer_uid
from hashwacht.uploads.protocol import (
    MAX_REQUEST_SIZE,
    AcceptedReply,
    ConnectionClosed,
    DescribeDaemonRequest,
    PartialUploadsRequest,
    UploadChannel,
    UploadCheckReply,
    UploadCheckRequest,
    UploadFailureReply,
    UploadReply,
    UploadRequest,
    decode_request,
)

_log = logging.getLogger(__name__)

MOST, MOST_OF_ONE = 256, 128
"""Connections at a time: of all users, and of each."""

HEARING, SAYING = 10.0, 5.0
"""Seconds for a whole question to come, and for an answer to be taken."""

_GRACE = 0.8
"""Seconds that what is under way gets to notice the end."""

_FULL = 0.1
"""Seconds to wait if this process has no descriptor left."""


class UploadServer:
    """Serves on *listeners*, which it closes, from ``with`` to its end."""

    def __init__(self, listeners: Sequence[socket.socket], desk: UploadHandler) -> None:
        self._listeners, self._desk = tuple(listeners), desk
        self._stop, self._stopped = socket.socketpair()
        self._accepting = threading.Thread(target=self._accept, name="reception", daemon=True)
        self._lock = threading.Lock()
        self._open: dict[socket.socket, threading.Thread] = {}
        self._users: Counter[int] = Counter()

    @property
    def connection_count(self) -> int:
        """How many connections there are."""
        return len(self._open)

    @property
    def has_ended(self) -> bool:
        """Return whether no thread is left; until then the storage must stay open."""
        return not self._accepting.is_alive() and not self._open

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Answer no more.  Any number of calls."""
        self._desk.closing.set()
        self._stop.close()
        self._accepting.join()
        with self._lock:
            threads = [*self._open.values()]
            for each in self._open:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
        until = time.monotonic() + _GRACE
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._stopped, selectors.EVENT_READ)
            for listener in self._listeners:
                listener.setblocking(False)
                selector.register(listener, selectors.EVENT_READ, listener)
            while True:
                ready = [key.data for key, _ in selector.select()]
                if None in ready:
                    break
                for listener in ready:
                    self._take(listener)
        for each in (*self._listeners, self._stopped):
            each.close()

    def _take(self, listener: socket.socket) -> None:
        """Take one connection, unless there are too many."""
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            _log.warning("an upload cannot be taken: %s", error.strerror)
            self._desk.closing.wait(_FULL)
            return
        user = peer_uid(connection)
        thread = threading.Thread(
            target=self._serve, args=(connection, user), name="reception-desk", daemon=True
        )
        with self._lock:
            full = len(self._open) >= MOST or self._users[user] >= MOST_OF_ONE
            if not full:
                self._open[connection] = thread
                self._users[user] += 1
        if full:
            self._desk.count_refused(user)
            _refuse(connection)
        else:
            thread.start()

    def _serve(self, connection: socket.socket, user: int) -> None:
        """Answer the one question of a connection."""
        files: list[int] = []
        exchange = UploadChannel(connection, MAX_REQUEST_SIZE)
        try:
            request = decode_request(exchange.receive(HEARING, files))
            self._answer(exchange, request, files, user)
        except ProtocolError as error:
            _log.warning("invalid message of user %d on the socket for uploads: %s", user, error)
        except (ConnectionClosed, TimeoutError, Interrupted):
            pass
        except Exception:  # noqa: BLE001  # the application's code; the upload is checked all the same
            _log.exception("an upload that was handed over could not be checked")
        finally:
            for each in files:
                os.close(each)
            self._end(connection, user)

    def _end(self, connection: socket.socket, user: int) -> None:
        with self._lock:
            del self._open[connection]
            self._users[user] -= 1
            if not self._users[user]:
                del self._users[user]
            connection.close()

    def _answer(
        self, exchange: UploadChannel, request: UploadRequest, files: list[int], user: int
    ) -> None:
        reply: UploadReply
        match request:
            case UploadCheckRequest():
                if not files:
                    raise ProtocolError("a request without a descriptor")
                exchange.send(AcceptedReply(), SAYING)
                self._check(exchange, files[0], request, user)
                return
            case PartialUploadsRequest(protocol):
                reply = self._noted(protocol)
            case DescribeDaemonRequest():
                reply = self._desk.describe()
        exchange.send(reply, SAYING)

    def _check(
        self, exchange: UploadChannel, fd: int, question: UploadCheckRequest, user: int
    ) -> None:
        """Give the verdict first, then do what follows from it, whoever still waits."""
        checked = self._desk.check(fd, question, user)
        try:
            exchange.send(UploadCheckReply.from_result(checked), SAYING)
        finally:
            self._desk.settle(checked)

    def _noted(self, protocol: str) -> UploadReply:
        try:
            self._desk.note(protocol)
        except HashwachtError as error:
            return UploadFailureReply(error.message)
        return AcceptedReply()


def _refuse(connection: socket.socket) -> None:
    """Say no to who is one too many, without waiting for anything."""
    with connection, suppress(ConnectionClosed, TimeoutError):
        channel = UploadChannel(connection, MAX_REQUEST_SIZE)
        channel.send(UploadFailureReply("too many uploads at once"), 0.0)
