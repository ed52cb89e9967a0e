"""The watcher: a separate process that watches whole file systems and can do little else.

It holds two capabilities, one to use fanotify and one to open directories by their handles, and
has no network.  It neither reads nor writes files.  Its socket accepts root, its own user, and
the owner of the directory of the socket; they receive the names of files.

The session of a scanner is a loop in its own thread.  What the scanner does not receive is buffered
up to a bound; then the kernel's queue fills, and when that is full the kernel reports an overflow.
Every scanner has its own queue, so that it receives no event from before it connected.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path

from hashwacht.core.errors import ConfigurationError
from hashwacht.core.watch_events import Cause, MissedEvents, Root
from hashwacht.ipc.codec import FrameSplitter, ProtocolError
from hashwacht.ipc.sockets import listen, peer_uid
from hashwacht.platform import fanotify
from hashwacht.platform.fanotify import FanotifyEvent
from hashwacht.platform.filesystems.mounts import Mounts
from hashwacht.platform.network import FILTER, leave_network
from hashwacht.platform.process import (
    CAP_DAC_READ_SEARCH,
    CAP_SYS_ADMIN,
    limit_capabilities,
)
from hashwacht.watch.fanotify_marks import FanotifyMarks
from hashwacht.watch.fanotify_paths import HandlePath, HandleResolver, WatchedMount
from hashwacht.watch.fanotify_protocol import (
    AnnouncementFlags,
    MissedReply,
    Ping,
    ReadyReply,
    RenewRequest,
    WatchRequest,
    WireAnnouncement,
    decode_request,
    frame,
    frame_announcements,
)
from hashwacht.watch.queue import RecentWrites

TICK = 1.0
"""Seconds between two checks of the roots."""

GATHER = 0.004
"""Seconds that events wait: the kernel merges the creation and the closing of a file, and
hundreds of events cost little more than one."""

MAX_BUFFERED = 4 << 20
"""Bytes to be sent, beyond which no events are read."""

PATIENCE = 10.0
"""Seconds for a scanner to name its roots."""

_FULL = "the kernel's queue was full (fs.fanotify.max_queued_events)"


class FanotifySession:
    """Serves one scanner until it disconnects."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self.last_round = time.monotonic()
        """The monotonic time of the last round of the loop."""
        self._splitter = FrameSplitter()
        self._buffer = bytearray()
        self._roots: list[Root] = []
        self._writes = RecentWrites()

    def run(self, stop: threading.Event) -> None:
        """Serve until the scanner disconnects or *stop* is set.

        Raises ProtocolError for an invalid message, OSError if the connection breaks.
        """
        self._socket.settimeout(PATIENCE)
        while not self._roots:
            if not (piece := self._socket.recv(1 << 16)):
                return
            for _, body in self._splitter.feed(piece):
                request = decode_request(body)
                if not isinstance(request, WatchRequest):
                    raise ProtocolError("a message before the roots")
                self._roots = request.to_roots()
        self._socket.settimeout(0)
        self._group = fanotify.open_group()
        self._mounts = Mounts()
        try:
            self._mark()
            self._serve(self._group, self._mounts, stop)
        finally:
            self._mounts.close()
            os.close(self._group)

    def _mark(self) -> None:
        """Mark the file systems of the roots, and reply that it is done."""
        self._marks = FanotifyMarks(self._roots, self._group, self._mounts, time.monotonic)
        self._report(self._marks.begin())
        self._buffer += frame(ReadyReply())

    def _serve(self, group: int, mounts: Mounts, stop: threading.Event) -> None:
        checked_at = time.monotonic()
        poll = select.poll()
        poll.register(mounts.fileno(), select.POLLPRI)
        while not stop.is_set():
            self.last_round = time.monotonic()
            poll.register(self._socket, select.POLLIN | (select.POLLOUT if self._buffer else 0))
            poll.register(group, select.POLLIN if len(self._buffer) < MAX_BUFFERED else 0)
            ready = dict(poll.poll(TICK / 2 * 1000))
            if ready.get(self._socket.fileno(), 0) & ~select.POLLOUT and not self._receive():
                return
            mounts_changed = mounts.fileno() in ready
            if mounts_changed:
                mounts.refresh(changed=True)
            if mounts_changed or time.monotonic() >= checked_at + TICK:
                checked_at = time.monotonic()
                self._report(self._marks.look(mounts_changed=mounts_changed))
            if ready.get(group, 0) & select.POLLIN:
                time.sleep(GATHER)
                self._announce(os.read(group, fanotify.READ))
            self._send()

    def _receive(self) -> bool:
        """Handle the scanner's requests; return whether it is still connected."""
        piece = self._socket.recv(1 << 16)
        for _, body in self._splitter.feed(piece):
            match decode_request(body):
                case Ping() as ping:
                    self._buffer += frame(ping)
                case WatchRequest() as request:
                    self._roots = request.to_roots()
                    self._mark()
                case RenewRequest(root) if root < len(self._roots):
                    self._report(self._marks.mark_again(root))
                case _:
                    raise ProtocolError("an unknown root")
        return bool(piece)

    def _send(self) -> None:
        if self._buffer:
            try:
                sent = self._socket.send(self._buffer)
            except BlockingIOError:
                return
            del self._buffer[:sent]

    def _report(self, gaps: Iterable[MissedEvents]) -> None:
        for gap in gaps:
            self._buffer += frame(MissedReply.from_gap(gap))

    def _announce(self, events: bytes) -> None:
        resolver = HandleResolver(self._marks.places)
        announcements: dict[WireAnnouncement, None] = {}
        try:
            for event in fanotify.parse(events):
                if event.mask & fanotify.OVERFLOW:
                    gaps = (MissedEvents(root.name, Cause.OVERFLOW, _FULL) for root in self._roots)
                    self._report(gaps)
                    continue
                if self._is_repeated(event):
                    continue
                for directory in resolver.resolve(event.fsid, event.handle):
                    self._translate(event, directory, announcements)
        finally:
            resolver.close()
        self._report(self._marks.unresolved(resolver.unresolved))
        for message in frame_announcements(announcements):
            self._buffer += message

    def _is_repeated(self, event: FanotifyEvent) -> bool:
        """Return whether an event is only one more write to an open file."""
        file = event.fsid, event.handle, event.name
        if event.mask & ~fanotify.ON_DIRECTORY == fanotify.MODIFY:
            return self._writes.is_repeated(*file)
        self._writes.forget(*file)
        return False

    def _translate(
        self,
        event: FanotifyEvent,
        directory: HandlePath,
        announcements: dict[WireAnnouncement, None],
    ) -> None:
        path = directory.path.rstrip(b"/") + b"/" + event.name
        moved = event.mask & fanotify.ON_DIRECTORY and event.mask & fanotify.MOVED_TO
        if moved:
            self._report_moved_roots(path, directory.places)
        if directory.place is None:
            return
        if event.mask & fanotify.ON_DIRECTORY and not moved:
            if not (event.mask & fanotify.CREATE and _is_subvolume(path)):
                return
            moved = True
        flags = AnnouncementFlags.TREE if moved else _flags(event.mask)
        announcements[WireAnnouncement(directory.place.root, int(flags), path)] = None

    def _report_moved_roots(self, path: bytes, places: list[WatchedMount]) -> None:
        """Report a gap in roots that have come back to *path*, alone or with a directory above.

        While they were elsewhere, no event in them could be assigned to them.
        """
        for place in places:
            if place.path == path or place.path.startswith(path + b"/"):
                root = self._roots[place.root]
                gap = MissedEvents(root.name, Cause.REPLACED, "a directory was moved there")
                self._report([gap])


def _is_subvolume(path: bytes) -> bool:
    """Return whether a new directory is another volume than the one above it.

    A snapshot of a subvolume is full of files when it is created; other directories are empty.
    """
    try:
        above = os.stat(os.path.dirname(path))  # noqa: PTH116, PTH120  (bytes)
        return os.lstat(path).st_dev != above.st_dev
    except OSError:
        return False


def _flags(mask: int) -> AnnouncementFlags:
    """Return what happened to a file; the kernel merges the events of one name."""
    if mask & fanotify.CLOSE_WRITE:
        return AnnouncementFlags.CLOSED
    if mask & (fanotify.CREATE | fanotify.MOVED_TO):
        return AnnouncementFlags(0)
    if mask & fanotify.MODIFY:
        return AnnouncementFlags.WRITTEN
    return AnnouncementFlags.ATTRIBUTES


STOP_DELAY = 0.5
"""Seconds until a request to stop is noticed at the latest."""

MAX_SCANNERS = 4
"""Connections at a time: there is one scanner, and a second one during a restart."""

HANG_TIMEOUT = 30.0
"""Seconds without a round after which a session counts as hanging."""

CAPABILITIES = frozenset({CAP_DAC_READ_SEARCH, CAP_SYS_ADMIN})
"""To open directories by their handles, and to use fanotify."""

_log = logging.getLogger(__name__)


def serve(
    socket_path: Path | int,
    stop: threading.Event,
    *,
    ready: Callable[[], None] = lambda: None,
    alive: Callable[[], None] = lambda: None,
) -> None:
    """Serve every scanner that connects until *stop* is set.

    *socket_path* is the path of the socket, or the descriptor of one that listens already.
    *ready* is called once it listens, *alive* about twice a second while no session hangs.  Must
    run in the main thread of a separate process, because it gives up privileges.  Raises
    ConfigurationError without the two capabilities or if it cannot leave the network, OSError
    if the socket cannot be created.
    """
    if isinstance(socket_path, int):
        listening = socket.socket(fileno=socket_path)
    else:
        listening = listen(socket_path)
    with closing(listening):
        _drop_privileges()
        ready()
        listening.settimeout(STOP_DELAY)
        sessions: list[_SessionThread] = []
        while not stop.is_set():
            sessions = [session for session in sessions if session.thread.is_alive()]
            if not any(session.hangs for session in sessions):
                alive()
            with suppress(TimeoutError):
                connected, _ = listening.accept()
                if len(sessions) < MAX_SCANNERS and _is_permitted(connected):
                    sessions.append(_SessionThread(connected, stop))
                else:
                    _log.warning("a connection was refused: not the scanner, or too many")
                    connected.close()
        for session in sessions:
            session.thread.join(STOP_DELAY * 4)


class _SessionThread:
    """The session of one scanner, in a thread."""

    def __init__(self, connected: socket.socket, stop: threading.Event) -> None:
        self._connected, self._stop = connected, stop
        self._session = FanotifySession(connected)
        self.thread = threading.Thread(target=self._run, name="session", daemon=True)
        self.thread.start()

    @property
    def hangs(self) -> bool:
        """True if the session makes no progress."""
        return time.monotonic() - self._session.last_round >= HANG_TIMEOUT

    def _run(self) -> None:
        with self._connected:
            try:
                self._session.run(self._stop)
            except (ProtocolError, OSError) as error:
                _log.warning("the connection to the scanner ended: %s", error)


def _drop_privileges() -> None:
    """Drop the network and all capabilities but two.  Raises ConfigurationError.

    The filter has to be active: CAP_SYS_ADMIN, which remains, can leave a namespace again.
    """
    if problem := leave_network()[FILTER]:
        raise ConfigurationError(
            f"the watcher cannot give up the network: {problem}",
            advice='Run it on a kernel with seccomp, or set daemon.watch_method to "inotify".',
        )
    held = limit_capabilities(CAPABILITIES)
    problem = "" if held >= CAPABILITIES else "the capabilities are missing"
    try:
        os.close(fanotify.open_group())
    except OSError as error:
        problem = problem or error.strerror or str(error)
    if problem:
        raise ConfigurationError(
            f"fanotify cannot be used: {problem}",
            advice="Give the watcher CAP_SYS_ADMIN and CAP_DAC_READ_SEARCH, or set"
            ' daemon.watch_method to "inotify".',
        )


def _is_permitted(connected: socket.socket) -> bool:
    """Return whether the peer is root, this user, or the owner of the socket's directory."""
    permitted = {0, os.geteuid()}
    with suppress(OSError):
        permitted.add(Path(connected.getsockname()).parent.stat().st_uid)
    return peer_uid(connected) in permitted
