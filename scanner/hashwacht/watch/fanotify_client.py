"""The Watch that sees whole file systems: the scanner's end of the watcher's socket."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from hashwacht.core.watch_events import (
    Announcement,
    Cause,
    Change,
    MissedEvents,
    Root,
    WatchListener,
)
from hashwacht.ipc.codec import FrameSplitter, ProtocolError
from hashwacht.ipc.sockets import connect
from hashwacht.watch.fanotify_protocol import (
    AnnouncementFlags,
    MissedReply,
    Ping,
    ReadyReply,
    RenewRequest,
    WatcherRequest,
    WatchRequest,
    WireAnnouncement,
    decode_reply,
    frame,
)

PATIENCE = 10.0
"""Seconds for the watcher to come up at the start, and to answer a ping."""

REPEAT = 60.0
"""Seconds after which roots without a watcher are reported as missed again."""

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

    def __init__(self, path: Path, roots: Sequence[Root], listener: WatchListener) -> None:
        """Connect and wait until all roots are marked.  Raises OSError."""
        self._listener = listener
        self._roots: Sequence[Root] = ()
        self._ready = threading.Event()
        self._pinged_at: float | None = None
        self._closed = False
        self.broken = ""
        self._socket = connect(path, _MARKING_TIMEOUT)
        self._thread = threading.Thread(target=self._receive, name="watcher", daemon=True)
        self._request(roots)
        self._thread.start()
        self._wait_ready()

    def watch(self, roots: Sequence[Root]) -> None:
        """Watch these from now on.  Raises ConnectionError, and is then closed."""
        self._request(roots)
        self._wait_ready()

    def _request(self, roots: Sequence[Root]) -> None:
        self._requested = roots
        self._ready.clear()
        self._send(WatchRequest.from_roots(roots))

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
                for _, body in splitter.feed(piece):
                    self._handle(body)
            self.broken = self.broken or "the watcher has ended"
        except (OSError, ProtocolError) as error:
            self.broken = self.broken or str(error)
        self._ready.set()
        if not self._closed:
            for root in self._roots:
                self._listener.report_missed(MissedEvents(root.name, Cause.DEAD_WATCH, self.broken))

    def _receive_piece(self) -> bytes:
        while True:
            with suppress(TimeoutError):
                return self._socket.recv(1 << 20)

    def _handle(self, body: bytes) -> None:
        match decode_reply(body, len(self._roots)):
            case MissedReply() as gap:
                self._listener.report_missed(gap.to_gap())
            case ReadyReply():  # what follows uses the numbers of the requested roots
                self._roots = self._requested
                self._ready.set()
            case Ping():
                self._pinged_at = None
            case announcements:
                for announcement in announcements:
                    self._announce(announcement)

    def _announce(self, wire: WireAnnouncement) -> None:
        tree = bool(wire.flags & AnnouncementFlags.TREE)
        change = next((_CHANGES[flag] for flag in _CHANGES if wire.flags & flag), Change.NAMED)
        root = self._roots[wire.root]
        account = root.account_of(wire.path)
        self._listener.announce(Announcement(root.name, wire.path, tree, change, account))


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
        self._reported_at = self._retry_at = 0.0

    def start(self, roots: Sequence[Root], listener: WatchListener) -> None:
        """Watch from now on; without a watcher, report everything as missed."""
        self._roots, self._listener = list(roots), listener
        if self._connection is not None:
            with suppress(ConnectionError):  # ``maintain`` finds it broken and connects again
                self._connection.watch(self._roots)
            return
        deadline = time.monotonic() + self._patience
        while (problem := self._connect()) and time.monotonic() < deadline:
            time.sleep(_CONNECT_DELAY)
        if problem:
            self._report_missed(problem)

    def maintain(self) -> None:
        """Check that the watcher answers; connect again if it is back."""
        if self._connection is not None and not self._connection.broken:
            self._connection.ping(self._clock())
            return
        self.close()
        if time.monotonic() < self._retry_at:
            return
        problem = self._connect()
        if not problem:
            self._report_missed("there was no watcher for a while")
        elif self._clock() >= self._reported_at + REPEAT:
            self._report_missed(problem)

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

    def _connect(self) -> str:
        """Connect; return the problem, if any.

        A watcher that hangs makes this slow, so the next attempt waits for as long.
        """
        began = time.monotonic()
        try:
            self._connection = _WatcherConnection(self._path, self._roots, self._listener)
        except OSError as error:
            self._retry_at = 2 * time.monotonic() - began
            return f"no watcher: {error.strerror or error}"
        return ""

    def _report_missed(self, detail: str) -> None:
        self._reported_at = self._clock()
        for root in self._roots:
            self._listener.report_missed(MissedEvents(root.name, Cause.DEAD_WATCH, detail))
