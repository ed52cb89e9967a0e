"""One scanner that is connected to the watcher: its roots, its marks, and what it is told.

A loop in a thread of its own.  What the scanner does not take is held up to a bound; then the
kernel's queue fills, and when that is full the kernel says so.  Every scanner begins with a queue
of its own, so that nothing is heard of which it was not there for.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Iterable

from hashwacht.core.watch_events import Cause, MissedEvents, Root
from hashwacht.ipc.frames import ProtocolError, pack_frame
from hashwacht.platform import fanotify
from hashwacht.platform.fanotify import FanotifyEvent
from hashwacht.platform.mounts import Mounts
from hashwacht.watch.fanotify_marks import FanotifyMarks
from hashwacht.watch.fanotify_paths import HandlePath, HandleResolver, WatchedMount
from hashwacht.watch.fanotify_protocol import (
    PING,
    READY,
    RENEW,
    WATCH,
    AnnouncementFlags,
    MessageSplitter,
    WireAnnouncement,
    decode_renew,
    decode_watch,
    missed,
    names,
)

TICK = 1.0
"""Seconds between two looks at the roots."""

GATHER = 0.004
"""Seconds that events wait: the kernel makes one of a file's making and closing, and hundreds
cost little more than one."""

HELD = 4 << 20
"""Bytes that wait to be taken, beyond which no events are read."""

PATIENCE = 10.0
"""Seconds that a scanner has to say what it wants watched."""

_FULL = "the kernel's queue was full (fs.fanotify.max_queued_events)"


class FanotifySession:
    """Serves one scanner until it hangs up."""

    def __init__(self, connected: socket.socket) -> None:
        """Take a connected socket; the caller closes it."""
        self._socket = connected
        self.last_round = time.monotonic()
        """When it last came round, in seconds from anywhere."""
        self._cutter = MessageSplitter()
        self._out = bytearray()
        self._roots: list[Root] = []

    def run(self, stop: threading.Event) -> None:
        """Serve until the scanner hangs up or *stop* is set.

        Raises Nonsense if it says what no scanner says, OSError if the connection breaks.
        """
        self._socket.settimeout(PATIENCE)
        while not self._roots:
            if not (read := self._socket.recv(1 << 16)):
                return
            for kind, body in self._cutter.feed(read):
                if kind != WATCH:
                    raise ProtocolError("roots were expected")
                self._roots = decode_watch(body)
        self._socket.settimeout(0)
        self._group = fanotify.open_group()
        self._mounts = Mounts()
        try:
            self._begin()
            self._serve(self._group, self._mounts, stop)
        finally:
            self._mounts.close()
            os.close(self._group)

    def _begin(self) -> None:
        """Mark what the roots stand on, and say that it is done."""
        self._marks = FanotifyMarks(self._roots, self._group, self._mounts, time.monotonic)
        self._tell(self._marks.begin())
        self._out += pack_frame(0, READY)

    def _serve(self, group: int, mounts: Mounts, stop: threading.Event) -> None:
        looked = time.monotonic()
        poll = select.poll()
        poll.register(mounts.fileno(), select.POLLPRI)
        while not stop.is_set():
            self.last_round = time.monotonic()
            poll.register(self._socket, select.POLLIN | (select.POLLOUT if self._out else 0))
            poll.register(group, select.POLLIN if len(self._out) < HELD else 0)
            ready = dict(poll.poll(TICK / 2 * 1000))
            if ready.get(self._socket.fileno(), 0) & ~select.POLLOUT and not self._hear():
                return
            told = mounts.fileno() in ready
            if told:
                mounts.refresh(told=True)
            if told or time.monotonic() >= looked + TICK:
                looked = time.monotonic()
                self._tell(self._marks.look(mounts_changed=told))
            if ready.get(group, 0) & select.POLLIN:
                time.sleep(GATHER)
                self._pass_on(os.read(group, fanotify.READ))
            self._send()

    def _hear(self) -> bool:
        """Do what the scanner asks for; say if it is still there."""
        read = self._socket.recv(1 << 16)
        for kind, body in self._cutter.feed(read):
            if kind == PING:
                self._out += pack_frame(0, PING)
            elif kind == WATCH:
                self._roots = decode_watch(body)
                self._begin()
            elif kind == RENEW:
                self._tell(self._marks.mark_again(decode_renew(body, len(self._roots))))
            else:
                raise ProtocolError("a message that no scanner sends")
        return bool(read)

    def _send(self) -> None:
        if self._out:
            try:
                sent = self._socket.send(self._out)
            except BlockingIOError:
                return
            del self._out[:sent]

    def _tell(self, gaps: Iterable[MissedEvents]) -> None:
        for each in gaps:
            self._out += missed(each)

    def _pass_on(self, read: bytes) -> None:
        """Turn a batch of events into announcements."""
        finder = HandleResolver(self._marks.places)
        announced: dict[WireAnnouncement, None] = {}
        try:
            for event in fanotify.parse(read):
                if event.mask & fanotify.OVERFLOW:
                    self._tell(
                        MissedEvents(each.name, Cause.OVERFLOW, _FULL) for each in self._roots
                    )
                    continue
                for found in finder.resolve(event.fsid, event.handle):
                    self._translate(event, found, announced)
        finally:
            finder.close()
        self._tell(self._marks.unresolved(finder.unresolved))
        for message in names(announced):
            self._out += message

    def _translate(
        self, event: FanotifyEvent, found: HandlePath, announced: dict[WireAnnouncement, None]
    ) -> None:
        path = found.path.rstrip(b"/") + b"/" + event.name
        moved = event.mask & fanotify.ON_DIRECTORY and event.mask & fanotify.MOVED_TO
        if moved:
            self._came_back(path, found.places)
        if found.place is None or (event.mask & fanotify.ON_DIRECTORY and not moved):
            return
        closed = event.mask & fanotify.CLOSE_WRITE
        bits = AnnouncementFlags.TREE if moved else AnnouncementFlags.CLOSED if closed else 0
        announced[WireAnnouncement(found.place.root, int(bits), path)] = None

    def _came_back(self, path: bytes, places: list[WatchedMount]) -> None:
        """Say of roots that were renamed, with or without the directories above them, what is so.

        While they were elsewhere nothing in them was known to be theirs.
        """
        for each in places:
            if each.path == path or each.path.startswith(path + b"/"):
                root = self._roots[each.root]
                self._tell([MissedEvents(root.name, Cause.REPLACED, "a directory was moved there")])
