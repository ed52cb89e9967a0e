"""The Watch that sees whole file systems: the scanner's end of the watcher's socket."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from pathlib import Path

from hashwacht.core.watch_events import (
    Announcement,
    Cause,
    Change,
    MissedEvents,
    Root,
    WatchListener,
    WatchPosition,
)
from hashwacht.ipc.codec import FrameSplitter, ProtocolError
from hashwacht.ipc.sockets import connect
from hashwacht.watch.fanotify_protocol import (
    AcknowledgeRequest,
    AnnouncementFlags,
    HandoverReply,
    MissedReply,
    Ping,
    ReadyReply,
    RenewRequest,
    RootsReply,
    StreamReply,
    WatcherReply,
    WatcherRequest,
    WatchRequest,
    WireAnnouncement,
    decode_reply,
    frame,
    unpack_roots,
)

PATIENCE = 10.0
"""Seconds for the watcher to come up at the start, and to answer a ping."""

REPEAT = 60.0
"""Seconds after which roots without a watcher are reported as missed again."""

HANDOVER_PATIENCE = 15.0
"""Seconds for a watcher that handed its stream over to be restarted, before this is reported."""

_CONNECT_DELAY = 0.1

_MARKING_TIMEOUT = 3.0
"""Seconds for the watcher to mark all file systems."""


_CHANGES = {
    AnnouncementFlags.CLOSED: Change.CLOSED,
    AnnouncementFlags.WRITTEN: Change.WRITTEN,
    AnnouncementFlags.ATTRIBUTES: Change.ATTRIBUTES,
}


class _WatcherConnection:
    """One connection to the watcher, with a thread that passes on its messages."""

    def __init__(
        self,
        path: Path,
        roots: Sequence[Root],
        listener: WatchListener,
        since: WatchPosition | None,
    ) -> None:
        """Connect and wait until all roots are marked; continue after *since* if possible.

        ``position`` is that of the last report, ``uninterrupted`` are the roots that were watched
        since the given one.  Raises OSError.
        """
        self._listener = listener
        self._roots: Sequence[Root] = ()
        self._ready = threading.Event()
        self._pinged_at: float | None = None
        self._sending = threading.Lock()
        self._closed = False
        self.broken = ""
        self.handed_over = False
        self.position = since
        self.uninterrupted: frozenset[str] = frozenset()
        self._socket = connect(path, _MARKING_TIMEOUT)
        self._thread = threading.Thread(target=self._receive, name="watcher", daemon=True)
        self._send(WatchRequest.from_roots(roots, since))
        self._thread.start()
        self._wait_ready()

    def watch(self, roots: Sequence[Root]) -> None:
        """Watch these from now on.  Raises ConnectionError, and is then closed."""
        self._ready.clear()
        self._send(WatchRequest.from_roots(roots, self.position))
        self._wait_ready()

    def acknowledge(self, position: WatchPosition) -> None:
        """Let the watcher forget what it reported up to *position*."""
        if self.position is not None and position.stream == self.position.stream:
            self._send(AcknowledgeRequest(position.number))

    def _wait_ready(self) -> None:
        if not self._ready.wait(_MARKING_TIMEOUT) or self.broken:
            self.close()
            raise ConnectionError(self.broken or "it does not mark the roots")

    def renew(self, root: int) -> None:
        """Restart the watch of a root."""
        self._send(RenewRequest(root))

    def ping(self, now: float) -> None:
        """Send a ping, or close the connection if the last one was not answered in time."""
        if self._pinged_at is None:
            self._pinged_at = now
            self._send(Ping())
        elif now - self._pinged_at > PATIENCE:
            self._shut_down("the watcher does not answer")

    def close(self) -> None:
        """Close the connection without reporting a gap."""
        self._closed = True
        self._shut_down("closed")
        self._thread.join()
        self._socket.close()

    def _send(self, message: WatcherRequest) -> None:
        try:
            with self._sending:
                self._socket.sendall(frame(message))
        except OSError as error:
            self._shut_down(str(error))

    def _shut_down(self, reason: str) -> None:
        self.broken = self.broken or reason
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _receive(self) -> None:
        splitter = FrameSplitter()
        try:
            while piece := self._receive_piece():
                for number, body in splitter.feed(piece):
                    self._handle(number, decode_reply(body, len(self._roots)))
            self.broken = self.broken or "the watcher has ended"
        except (OSError, ProtocolError) as error:
            self.broken = self.broken or str(error)
        self._ready.set()
        if not self._closed and not self.handed_over:
            for root in self._roots:
                self._listener.report_missed(MissedEvents(root.name, Cause.DEAD_WATCH, self.broken))

    def _receive_piece(self) -> bytes:
        while True:
            with suppress(TimeoutError):
                return self._socket.recv(1 << 20)

    def _handle(self, number: int, reply: WatcherReply | list[WireAnnouncement]) -> None:
        if number:
            self._handle_stream(number, reply)
            return
        match reply:
            case StreamReply(stream, last, roots, uninterrupted):
                self.position = WatchPosition(stream, last)
                self._roots = unpack_roots(roots)
                self.uninterrupted = frozenset(uninterrupted)
            case ReadyReply():
                self._ready.set()
            case HandoverReply():
                self.handed_over = True
            case Ping():
                self._pinged_at = None
            case _:
                raise ProtocolError("a message outside of the stream")

    def _handle_stream(self, number: int, reply: WatcherReply | list[WireAnnouncement]) -> None:
        """Pass on a message of the stream."""
        if self.position is None or number != self.position.number + 1:
            raise ProtocolError("a message of the stream is missing")
        position = WatchPosition(self.position.stream, number)
        match reply:
            case MissedReply() as gap:
                self._listener.report_missed(gap.to_gap())
            case RootsReply(roots):
                self._roots = unpack_roots(roots)
            case [*announcements]:
                for announcement in announcements:
                    self._announce(announcement, position)
            case _:
                raise ProtocolError("a message that does not belong into the stream")
        self.position = position
        self._listener.reach(position)

    def _announce(self, wire: WireAnnouncement, position: WatchPosition) -> None:
        tree = bool(wire.flags & AnnouncementFlags.TREE)
        change = next((_CHANGES[flag] for flag in _CHANGES if wire.flags & flag), Change.NAMED)
        root = self._roots[wire.root]
        account = root.account_of(wire.path)
        self._listener.announce(Announcement(root.name, wire.path, tree, change, account, position))


class FanotifyWatch:
    """Watches by the watcher process.  While there is none, all roots are missed."""

    def __init__(
        self,
        socket_path: Path,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Use the watcher at *socket_path*, which has *patience* seconds to come up."""
        self._path, self._patience, self._clock = socket_path, patience, clock
        self._connection: _WatcherConnection | None = None
        self._position: WatchPosition | None = None
        self._reported_at = self._retry_at = self._handed_over_until = 0.0

    def start(
        self, roots: Sequence[Root], listener: WatchListener, since: WatchPosition | None = None
    ) -> frozenset[str]:
        """Watch from now on; without a watcher, report everything as missed."""
        self._roots, self._listener = list(roots), listener
        if self._connection is not None:
            with suppress(ConnectionError):  # ``maintain`` finds it broken and connects again
                self._connection.watch(self._roots)
            return frozenset()
        deadline = time.monotonic() + self._patience
        while (problem := self._connect(since)) and time.monotonic() < deadline:
            time.sleep(_CONNECT_DELAY)
        if self._connection is not None:
            return self._connection.uninterrupted
        self._report_missed(problem)
        return frozenset()

    def acknowledge(self, position: WatchPosition) -> None:
        """Let the watcher forget what it reported up to *position*."""
        if (connection := self._connection) is not None:
            connection.acknowledge(position)

    def maintain(self) -> None:
        """Check that the watcher answers; connect again if it is back."""
        if self._connection is not None and not self._connection.broken:
            self._connection.ping(self._clock())
            return
        self._lose_connection()
        if time.monotonic() < self._retry_at:
            return
        handed_over = self._clock() < self._handed_over_until
        problem = self._connect(self._position)
        if self._connection is not None:
            missed = {root.name for root in self._roots}
            self._handed_over_until = 0.0
            if handed_over:
                missed -= self._connection.uninterrupted
            self._report_missed("there was no watcher for a while", missed)
        elif not handed_over and self._clock() >= self._reported_at + REPEAT:
            self._report_missed(problem)

    def _lose_connection(self) -> None:
        """Close a broken connection; note how to continue."""
        if self._connection is not None:
            self._position = self._connection.position
            if self._connection.handed_over:
                self._handed_over_until = self._clock() + HANDOVER_PATIENCE
                self._reported_at = 0.0
            self.close()

    def renew(self, root: str) -> None:
        """Restart the watch of a root."""
        if self._connection is not None:
            self._connection.renew([each.name for each in self._roots].index(root))

    def lacks_watches(self, root: str) -> None:
        """Return None: only the watcher knows."""

    def close(self) -> None:
        """Stop watching."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self, since: WatchPosition | None) -> str:
        """Connect; return the problem, if any.

        A watcher that hangs makes this slow, so the next attempt waits for as long.
        """
        began = time.monotonic()
        try:
            self._connection = _WatcherConnection(self._path, self._roots, self._listener, since)
        except OSError as error:
            self._retry_at = 2 * time.monotonic() - began
            return f"no watcher: {error.strerror or error}"
        return ""

    def _report_missed(self, detail: str, names: Container[str] | None = None) -> None:
        """Report these roots, or all, as missed."""
        self._reported_at = self._clock()
        for root in self._roots:
            if names is None or root.name in names:
                self._listener.report_missed(MissedEvents(root.name, Cause.DEAD_WATCH, detail))
