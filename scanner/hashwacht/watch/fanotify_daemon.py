"""The watcher: a separate process that watches whole file systems and can do little else.

It holds two capabilities, one to use fanotify and one to open directories by their handles, and
has no network.  It neither reads nor writes files.  Its socket accepts root, its own user, and
the owner of the directory of the socket; they receive the names of files.

The session of a scanner is a loop in its own thread.  What the scanner has not recorded is kept up
to a bound; then the kernel's queue fills, and when that is full the kernel reports an overflow.
Every scanner has a stream of its own, which it continues after a restart.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from types import MappingProxyType

from hashwacht.core.errors import ConfigurationError
from hashwacht.ipc.codec import FrameSplitter, ProtocolError
from hashwacht.ipc.sockets import listen, peer_uid
from hashwacht.platform import fanotify
from hashwacht.platform.network import FILTER, leave_network
from hashwacht.platform.process import (
    CAP_DAC_READ_SEARCH,
    CAP_SYS_ADMIN,
    limit_capabilities,
)
from hashwacht.watch.fanotify_handover import DescriptorStore, WaitingStreams
from hashwacht.watch.fanotify_protocol import (
    AcknowledgeRequest,
    HandoverReply,
    Ping,
    ReadyReply,
    RenewRequest,
    StreamReply,
    WatchRequest,
    decode_request,
    frame,
    pack_roots,
)
from hashwacht.watch.fanotify_stream import TICK, FanotifyStream

GATHER = 0.004
"""Seconds that events wait: the kernel merges the creation and the closing of a file, and
hundreds of events cost little more than one."""

SEND = 256 << 10
"""Bytes that are handed to the socket at a time."""

PATIENCE = 10.0
"""Seconds for a scanner to name its roots."""


class FanotifySession:
    """Serves one scanner until it disconnects."""

    def __init__(self, connected: socket.socket, streams: WaitingStreams) -> None:
        self._socket, self._streams = connected, streams
        self.last_round = time.monotonic()
        """The monotonic time of the last round of the loop."""
        self._splitter = FrameSplitter()
        self._buffer = bytearray()

    def run(self, stop: threading.Event, *, hands_over: bool) -> None:
        """Serve until the scanner disconnects or *stop* is set, when the stream may be handed over.

        Raises ProtocolError for an invalid message, OSError if the connection breaks.
        """
        if (request := self._receive_roots()) is None:
            return
        self._stream = self._open(request)
        self._socket.settimeout(0)
        try:
            self._serve(stop)
            if hands_over and stop.is_set():
                self._buffer += frame(HandoverReply())
                self._send()
        except (ProtocolError, ConnectionError):
            self._streams.put(self._stream)
            raise
        except BaseException:
            self._streams.end(self._stream)
            raise
        self._streams.put(self._stream)

    def _receive_roots(self) -> WatchRequest | None:
        """Return the first request, None if the scanner disconnects before."""
        self._socket.settimeout(PATIENCE)
        while piece := self._socket.recv(1 << 16):
            for _, body in self._splitter.feed(piece):
                request = decode_request(body)
                if not isinstance(request, WatchRequest):
                    raise ProtocolError("a message before the roots")
                return request
        return None

    def _open(self, request: WatchRequest) -> FanotifyStream:
        """Return the stream of a scanner, and reply that its roots are marked."""
        roots = request.to_roots()
        stream = self._streams.take(request.stream) if request.stream else None
        uninterrupted = None
        if stream is not None:
            try:
                uninterrupted = stream.resume(roots, request.number)
            finally:
                if uninterrupted is None:
                    self._streams.end(stream)
        if stream is None or uninterrupted is None:
            stream, uninterrupted = FanotifyStream.open(roots), []
            self._streams.attach(stream)
        log = stream.log
        self._buffer += frame(
            StreamReply(stream.name, log.acknowledged, pack_roots(log.roots), tuple(uninterrupted))
        )
        self._buffer += frame(ReadyReply())
        return stream

    def _serve(self, stop: threading.Event) -> None:
        stream = self._stream
        group, mounts = stream.group, stream.mounts
        poll = select.poll()
        poll.register(mounts.fileno(), select.POLLPRI)
        while not stop.is_set():
            self.last_round = time.monotonic()
            has_output = self._buffer or stream.log.has_waiting
            poll.register(self._socket, select.POLLIN | (select.POLLOUT if has_output else 0))
            poll.register(group, 0 if stream.log.is_full else select.POLLIN)
            ready = dict(poll.poll(TICK / 2 * 1000))
            if ready.get(self._socket.fileno(), 0) & ~select.POLLOUT and not self._receive():
                return
            stream.check(mounts_changed=mounts.fileno() in ready)
            if ready.get(group, 0) & select.POLLIN:
                time.sleep(GATHER)
                stream.announce(os.read(group, fanotify.READ))
            self._send()

    def _receive(self) -> bool:
        """Handle the scanner's requests; return whether it is still connected."""
        piece = self._socket.recv(1 << 16)
        for _, body in self._splitter.feed(piece):
            match decode_request(body):
                case AcknowledgeRequest(number):
                    self._stream.log.acknowledge(number)
                case Ping() as ping:
                    self._buffer += frame(ping)
                case WatchRequest() as request:
                    self._stream.watch(request.to_roots())
                    self._buffer += frame(ReadyReply())
                case RenewRequest(root) if root < len(self._stream.roots):
                    self._stream.report(self._stream.marks.mark_again(root))
                case _:
                    raise ProtocolError("an unknown root")
        return bool(piece)

    def _send(self) -> None:
        """Send what the socket takes."""
        while True:
            for message in self._stream.log.next_frames(SEND - len(self._buffer)):
                self._buffer += message
            if not self._buffer:
                return
            try:
                sent = self._socket.send(self._buffer)
            except BlockingIOError:
                return
            del self._buffer[:sent]


STOP_DELAY = 0.5
"""Seconds until a request to stop is noticed at the latest."""

WAITING_DELAY = 0.05
"""Seconds between two reads of the events of streams without a scanner."""

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
    store: DescriptorStore | None = None,
    stored: Mapping[str, int] = MappingProxyType({}),
) -> None:
    """Serve every scanner that connects until *stop* is set.

    *socket_path* is the path of the socket, or the descriptor of one that listens already.
    *ready* is called once it listens, *alive* about twice a second while no session hangs.  The
    streams are left in *store*, from which the former process's come as *stored*.  Must run in the
    main thread of a separate process, because it gives up privileges.  Raises
    ConfigurationError without the two capabilities or if it cannot leave the network, OSError
    if the socket cannot be created.
    """
    if isinstance(socket_path, int):
        listening = socket.socket(fileno=socket_path)
    else:
        listening = listen(socket_path)
    streams = WaitingStreams()
    with closing(listening), closing(streams):
        _drop_privileges()
        if store is not None:
            streams.take_over(stored, store)
        ready()
        _serve_sessions(listening, streams, stop, alive, hands_over=store is not None)
        if store is not None:
            streams.hand_over(store)


def _serve_sessions(
    listening: socket.socket,
    streams: WaitingStreams,
    stop: threading.Event,
    alive: Callable[[], None],
    *,
    hands_over: bool,
) -> None:
    sessions: list[_SessionThread] = []
    while not stop.is_set():
        sessions = [session for session in sessions if session.thread.is_alive()]
        if not any(session.hangs for session in sessions):
            alive()
        listening.settimeout(WAITING_DELAY if streams.maintain() else STOP_DELAY)
        with suppress(TimeoutError):
            connected, _ = listening.accept()
            if len(sessions) < MAX_SCANNERS and _is_permitted(connected):
                served = FanotifySession(connected, streams)
                sessions.append(_SessionThread(connected, served, stop, hands_over))
            else:
                _log.warning("a connection was refused: not the scanner, or too many")
                connected.close()
    for session in sessions:
        session.thread.join(STOP_DELAY * 4)


class _SessionThread:
    """The session of one scanner, in a thread."""

    def __init__(
        self,
        connected: socket.socket,
        session: FanotifySession,
        stop: threading.Event,
        hands_over: bool,
    ) -> None:
        self._connected, self._stop, self._hands_over = connected, stop, hands_over
        self._session = session
        self.thread = threading.Thread(target=self._run, name="session", daemon=True)
        self.thread.start()

    @property
    def hangs(self) -> bool:
        """True if the session makes no progress."""
        return time.monotonic() - self._session.last_round >= HANG_TIMEOUT

    def _run(self) -> None:
        with self._connected:
            try:
                self._session.run(self._stop, hands_over=self._hands_over)
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
