"""The Watch that sees whole file systems: the scanner's end of the watcher's socket."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from hashwacht.core.watch_events import Announcement, Cause, MissedEvents, Root, WatchListener
from hashwacht.ipc.frames import ProtocolError, pack_frame
from hashwacht.ipc.sockets import connect
from hashwacht.watch.fanotify_protocol import (
    MISSED,
    NAMES,
    PING,
    READY,
    AnnouncementFlags,
    MessageSplitter,
    decode_missed,
    decode_names,
    renew,
    watch,
)

PATIENCE = 10.0
"""Seconds that the watcher has, at the start, to come up; and that a ping may go unanswered."""

REPEAT = 60.0
"""Seconds after which roots that nobody watches are said to be missed again."""

_MARKING = 3.0
"""Seconds in which the watcher must have marked all file systems."""


class _Line:
    """One connection to the watcher, with a thread that passes on what it says."""

    def __init__(self, path: Path, roots: Sequence[Root], listener: WatchListener) -> None:
        """Connect and wait until all is marked.  Raises OSError."""
        self._listener = listener
        self._roots: Sequence[Root] = ()
        self._ready = threading.Event()
        self._pinged: float | None = None
        self._closed = False
        self.broken = ""
        self._socket = connect(path, _MARKING)
        self._thread = threading.Thread(target=self._read_on, name="watcher", daemon=True)
        self._ask(roots)
        self._thread.start()
        self._insist()

    def watch(self, roots: Sequence[Root]) -> None:
        """Have these watched from now on; closed and ConnectionError if that fails."""
        self._ask(roots)
        self._insist()

    def _ask(self, roots: Sequence[Root]) -> None:
        self._coming = roots
        self._ready.clear()
        self._say(watch(roots))

    def _insist(self) -> None:
        """Wait until all is marked.  Raises ConnectionError."""
        if not self._ready.wait(_MARKING) or self.broken:
            self.close()
            raise ConnectionError(self.broken or "it does not mark the roots")

    def renew(self, root: int) -> None:
        """Ask for a root to be watched anew."""
        self._say(renew(root))

    def ping(self, now: float) -> None:
        """Ask for a sign of life; hang up if there was none for long."""
        if self._pinged is None:
            self._pinged = now
            self._say(pack_frame(0, PING))
        elif now - self._pinged > PATIENCE:
            self._hang_up("the watcher does not answer")

    def close(self) -> None:
        """Hang up; nothing is missed by that."""
        self._closed = True
        self._hang_up("closed")
        self._thread.join()
        self._socket.close()

    def _say(self, message: bytes) -> None:
        try:
            self._socket.sendall(message)
        except OSError as error:
            self._hang_up(str(error))

    def _hang_up(self, why: str) -> None:
        self.broken = self.broken or why
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _read_on(self) -> None:
        cutter = MessageSplitter()
        try:
            while read := self._receive():
                for kind, body in cutter.feed(read):
                    self._take(kind, body)
            self.broken = self.broken or "the watcher has gone"
        except (OSError, ProtocolError) as error:
            self.broken = self.broken or str(error)
        self._ready.set()
        if not self._closed:
            for each in self._roots:
                self._listener.report_missed(MissedEvents(each.name, Cause.DEAD_WATCH, self.broken))

    def _receive(self) -> bytes:
        while True:
            with suppress(TimeoutError):
                return self._socket.recv(1 << 20)

    def _take(self, kind: bytes, body: bytes) -> None:
        if kind == NAMES:
            for root, bits, path in decode_names(body, len(self._roots)):
                tree, closed = (
                    bool(bits & AnnouncementFlags.TREE),
                    bool(bits & AnnouncementFlags.CLOSED),
                )
                name = self._roots[root].name
                self._listener.announce(Announcement(name, path, tree, closed))
        elif kind == MISSED:
            self._listener.report_missed(decode_missed(body))
        elif kind == READY:  # what comes behind it goes by the numbers of the new ones
            self._roots = self._coming
            self._ready.set()
        elif kind == PING:
            self._pinged = None
        else:
            raise ProtocolError("a message that no watcher sends")


class FanotifyWatch:
    """Has the watcher watch.  While there is none, all roots are missed; it is waited for."""

    def __init__(
        self,
        socket_path: Path,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Use the watcher at *socket_path*, which has *patience* seconds to come up."""
        self._path, self._patience, self._clock = socket_path, patience, clock
        self._line: _Line | None = None
        self._said = self._rest_until = 0.0

    def start(self, roots: Sequence[Root], listener: WatchListener) -> None:
        """Watch from now on; without a watcher, everything is missed."""
        self._roots, self._listener = list(roots), listener
        if self._line is not None:
            with suppress(ConnectionError):  # the next look finds it broken, and connects anew
                self._line.watch(self._roots)
            return
        deadline = time.monotonic() + self._patience
        while (problem := self._connect()) and time.monotonic() < deadline:
            time.sleep(0.1)
        if problem:
            self._miss(problem)

    def maintain(self) -> None:
        """See if the watcher lives; connect anew if it does again."""
        line = self._line
        if line is not None and not line.broken:
            line.ping(self._clock())
            return
        if line is not None:
            line.close()
            self._line = None
        if time.monotonic() < self._rest_until:
            return
        problem = self._connect()
        if not problem:
            self._miss("there was no watcher for a while")
        elif self._clock() >= self._said + REPEAT:
            self._miss(problem)

    def renew(self, root: str) -> None:
        """Have a root watched anew."""
        if self._line is not None:
            self._line.renew([each.name for each in self._roots].index(root))

    def close(self) -> None:
        """Watch no more."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def _connect(self) -> str:
        """Connect; give what is in the way, if anything.

        A watcher that hangs keeps us waiting, so afterwards the caller gets as long a rest.
        """
        began = time.monotonic()
        try:
            self._line = _Line(self._path, self._roots, self._listener)
        except OSError as error:
            self._rest_until = 2 * time.monotonic() - began
            return f"no watcher: {error.strerror or error}"
        return ""

    def _miss(self, detail: str) -> None:
        self._said = self._clock()
        for each in self._roots:
            self._listener.report_missed(MissedEvents(each.name, Cause.DEAD_WATCH, detail))
