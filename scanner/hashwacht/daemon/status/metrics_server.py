"""Serves the metrics over a Unix socket and inherited sockets, and writes them to a file.

The handler is the standard library's and answers only ``GET /metrics``.  The socket decides who may
connect: the Unix socket is in a directory of mode 0700; the loopback interface is open to every
user of the machine.  Each socket therefore has a thread of its own, which serves one request at a
time within a short time limit: other users can delay only one another.
"""

from __future__ import annotations

import logging
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Self

from hashwacht.platform import atomic

_log = logging.getLogger(__name__)

PATH = "/metrics"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

CACHE_SECONDS = 2.0
"""Seconds for which a response is reused: rendering it reads the storage."""

FILE_INTERVAL = 15.0
"""Seconds between two writes of the file."""

_REQUEST_TIMEOUT = 2.0
"""Seconds for a whole request."""

Render = Callable[[], bytes]


class MetricsServer:
    """Threads that serve *listeners*, and one that writes the file regularly."""

    def __init__(
        self, listeners: Sequence[socket.socket], render: Render, file: Path | None = None
    ) -> None:
        """Start serving; ``close`` closes the listeners."""
        self._listeners = listeners
        self._render = _CachedRender(render)
        self._stop, self._stopped = socket.socketpair()
        targets = [partial(self._serve, listener) for listener in listeners]
        if file is not None:
            targets.append(partial(self._write_regularly, file))
        self._threads = [
            threading.Thread(target=target, name="metrics", daemon=True) for target in targets
        ]
        for thread in self._threads:
            thread.start()

    def _serve(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        while self._stopped not in _ready([listener, self._stopped]):
            with suppress(OSError):  # the client disconnected or was too slow
                connection, _ = listener.accept()
                with connection, _shutdown_after(_REQUEST_TIMEOUT, connection):
                    _Handler(connection, self._render)

    def _write_regularly(self, path: Path) -> None:
        """Write the file; a failure is logged once until a write succeeds again."""
        failing, stopped = False, False
        while not stopped:
            if (text := self._render()) is not None:
                try:
                    write_file(path, text)
                    failing = False
                except OSError as error:
                    if not failing:
                        _log.warning("cannot write the metrics file %s: %s", path, error)
                    failing = True
            stopped = bool(_ready([self._stopped], FILE_INTERVAL))

    def close(self) -> None:
        """Stop serving."""
        self._stop.send(b"x")
        for thread in self._threads:
            thread.join()
        for sock in (*self._listeners, self._stop, self._stopped):
            sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _ready(sockets: Sequence[socket.socket], seconds: float | None = None) -> list[socket.socket]:
    poll = select.poll()
    for sock in sockets:
        poll.register(sock, select.POLLIN)
    readable = {fd for fd, _ in poll.poll(None if seconds is None else seconds * 1000 + 1)}
    return [sock for sock in sockets if sock.fileno() in readable]


@contextmanager
def _shutdown_after(seconds: float, connection: socket.socket) -> Iterator[None]:
    """Shut the connection down if the block takes longer, even if data still arrives."""

    def shutdown() -> None:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, shutdown)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class _CachedRender:
    """Renders the metrics unless they were rendered just now.  Thread-safe."""

    def __init__(self, render: Render) -> None:
        self._render = render
        self._lock = threading.Lock()
        self._text: bytes | None = None
        self._at = float("-inf")

    def __call__(self) -> bytes | None:
        """Return the metrics; None if they cannot be rendered."""
        with self._lock:
            if time.monotonic() - self._at > CACHE_SECONDS:
                try:
                    self._text = self._render()
                except Exception:  # noqa: BLE001  # a defect here must not stop the scanner
                    _log.exception("cannot render the metrics")
                    self._text = None
                self._at = time.monotonic()
            return self._text


class _Handler(BaseHTTPRequestHandler):
    """Handles one request in its constructor, as its base class does."""

    server_version = "hashwacht"
    sys_version = ""
    timeout = _REQUEST_TIMEOUT

    def __init__(self, connection: socket.socket, render: _CachedRender) -> None:
        self._render = render
        no_server: Any = None  # the base class only stores it
        super().__init__(connection, ("", 0), no_server)

    def do_GET(self) -> None:
        """Answer a GET request."""
        if self.path.partition("?")[0] != PATH:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        if (text := self._render()) is None:
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR)
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        """Log nothing: a scrape is not an event."""


def write_file(path: Path, text: bytes) -> None:
    """Replace the file atomically, readable by node_exporter, which runs as another user."""
    # The temporary file does not end in .prom, so it is not collected.
    atomic.write(path, text, mode=0o644, durable=False)
