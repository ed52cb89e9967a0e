"""The upload socket: web applications send open files and wait for the verdict.

The kernel decides who may connect, by the socket's owner, group and mode.  A connection carries
one request, and until its reply it has a thread of its own, which mostly waits for a worker.  An
invalid message ends its connection and nothing else, and one user cannot occupy all connections.
When the daemon stops it closes the connections without a partial reply, and the applications ask
the next daemon.
"""

from __future__ import annotations

import logging
import os
import selectors
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Self

from hashwacht.core.errors import HashwachtError, Interrupted
from hashwacht.daemon.gateway_requests import GatewayRequests
from hashwacht.daemon.upload_handler import UploadHandler
from hashwacht.daemon.upload_threads import UploadThreads
from hashwacht.ipc.codec import ProtocolError
from hashwacht.ipc.sockets import peer_uid
from hashwacht.uploads.channel import ConnectionClosed, UploadChannel
from hashwacht.uploads.fair_share import FairShare
from hashwacht.uploads.protocol import (
    MAX_REQUEST_SIZE,
    AcceptedReply,
    DescribeDaemonRequest,
    GatewayReportRequest,
    PartialUploadsRequest,
    PathCheckRequest,
    SignalsLookupRequest,
    UploadCheckReply,
    UploadCheckRequest,
    UploadFailureReply,
    UploadReply,
    UploadRequest,
    decode_request,
)

_log = logging.getLogger(__name__)

MAX_CONNECTIONS = 256
"""A user has at most as many as are left free: 128 if there is no other."""

RECEIVE_TIMEOUT, SEND_TIMEOUT = 10.0, 5.0
"""Seconds for a whole request, and for a whole reply: a silent connection ends."""

_CLOSE_TIMEOUT = 0.8
"""Seconds that ``close`` waits for running requests."""

_ACCEPT_RETRY = 0.1
"""Seconds to wait if this process has no descriptor left."""


class UploadServer:
    """Serves *listeners* while its ``with`` block runs, then closes them."""

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        handler: UploadHandler,
        gateway: GatewayRequests,
    ) -> None:
        self._listeners, self._handler, self._gateway = tuple(listeners), handler, gateway
        self._stop, self._stopped = socket.socketpair()
        self._accepting = threading.Thread(target=self._accept, name="upload-accept", daemon=True)
        self._changed = threading.Condition()
        self._threads = UploadThreads()
        self._open: set[socket.socket] = set()
        self._share = FairShare(MAX_CONNECTIONS)

    @property
    def connection_count(self) -> int:
        """The number of open connections."""
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
        """Stop serving.  May be called more than once."""
        self._handler.closing.set()
        self._stop.close()
        self._accepting.join()
        with self._changed:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._open, _CLOSE_TIMEOUT)
        self._threads.close()

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
                    self._accept_one(listener)
        for sock in (*self._listeners, self._stopped):
            sock.close()

    def _accept_one(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            _log.warning("cannot accept an upload connection: %s", error.strerror)
            self._handler.closing.wait(_ACCEPT_RETRY)
            return
        uid = peer_uid(connection)
        with self._changed:
            accepted = self._share.acquire(str(uid))
            if accepted:
                self._open.add(connection)
        if accepted:
            self._threads.start(partial(self._serve, connection, uid))
        else:
            self._handler.count_refused(uid)
            _refuse(connection)

    def _serve(self, connection: socket.socket, uid: int) -> None:
        fds: list[int] = []
        channel = UploadChannel(connection, MAX_REQUEST_SIZE)
        try:
            request = decode_request(channel.receive(RECEIVE_TIMEOUT, fds))
            self._answer(channel, request, fds, uid)
        except ProtocolError as error:
            _log.warning("invalid message from user %d on the upload socket: %s", uid, error)
        except (ConnectionClosed, TimeoutError, Interrupted):
            pass
        except Exception:  # noqa: BLE001  # a defect here must not end the server
            _log.exception("an upload could not be checked")
        finally:
            for fd in fds:
                os.close(fd)
            with self._changed:
                self._open.remove(connection)
                self._share.release(str(uid))
                connection.close()
                self._changed.notify_all()

    def _answer(
        self, channel: UploadChannel, request: UploadRequest, fds: list[int], uid: int
    ) -> None:
        reply: UploadReply
        match request:
            case UploadCheckRequest():
                if not fds:
                    raise ProtocolError("a request without a descriptor")
                channel.send(AcceptedReply(), SEND_TIMEOUT)
                result = self._handler.check(fds[0], request, uid)
                try:
                    channel.send(UploadCheckReply.from_result(result), SEND_TIMEOUT)
                finally:  # after the reply, and even if the application has disconnected
                    self._handler.apply(result)
                return
            case PartialUploadsRequest(protocol):
                try:
                    self._handler.record_partial_upload(protocol)
                    reply = AcceptedReply()
                except HashwachtError as error:
                    reply = UploadFailureReply(error.message)
            case PathCheckRequest():
                channel.send(AcceptedReply(), SEND_TIMEOUT)
                reply = self._answer_path(channel, request, uid)
            case SignalsLookupRequest():
                reply = self._gateway.lookup(request, uid)
            case DescribeDaemonRequest():
                reply = self._gateway.describe()
            case GatewayReportRequest():
                reply = self._gateway.record_report(request, uid)
        channel.send(reply, SEND_TIMEOUT)

    def _answer_path(
        self, channel: UploadChannel, request: PathCheckRequest, uid: int
    ) -> UploadReply:
        """Send a reply for each file that is worth one, and return the last reply."""
        return self._gateway.check_path(
            request, uid, lambda reply: channel.send(reply, SEND_TIMEOUT)
        )


def _refuse(connection: socket.socket) -> None:
    """Close a connection over the limit with a reply, without waiting."""
    with connection, suppress(ConnectionClosed, TimeoutError):
        channel = UploadChannel(connection, MAX_REQUEST_SIZE)
        channel.send(UploadFailureReply("too many uploads at once", overloaded=True), 0.0)
