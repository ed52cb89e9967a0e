"""Metrics for whoever asks: over a Unix socket, an inherited one, and in a file.

The handler is the standard library's; it answers ``GET /metrics`` and nothing else.  Who may ask is
decided by the socket: the Unix one lies in a directory of mode 0700, the loopback interface is open
to everybody on the machine.  So each socket has a thread of its own, which takes one request at a
time, and no request takes longer than a moment: strangers can only keep one another waiting.
"""

from __future__ import annotations

import logging
import os
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

_log = logging.getLogger(__name__)

PATH = "/metrics"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

FRESH = 2.0
"""Seconds for which an answer is given again: drawing it up reads the state."""

FILE_EVERY = 15.0
"""Seconds between two writings of the file."""

_PATIENCE = 2.0
"""Seconds for one request, all of it, so that nobody keeps the others out."""

Drawn = Callable[[], bytes]


class MetricsServer:
    """Threads that answer on *listeners*, and one that keeps the file up to date."""

    def __init__(
        self, listeners: Sequence[socket.socket], drawn: Drawn, file: Path | None = None
    ) -> None:
        """Begin; the listeners are closed by ``close``."""
        self._listeners = listeners
        self._drawn = _Fresh(drawn)
        self._stop, self._stopped = socket.socketpair()
        work = [partial(self._serve, each) for each in listeners]
        if file is not None:
            work.append(partial(self._keep, _File(file, self._drawn)))
        self._threads = [
            threading.Thread(target=each, name="metrics", daemon=True) for each in work
        ]
        for each in self._threads:
            each.start()

    def _serve(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        while self._stopped not in _ready([listener, self._stopped]):
            with suppress(OSError):  # it went away, or was too slow
                connection, _ = listener.accept()
                with connection, _cut_after(_PATIENCE, connection):
                    _Handler(connection, self._drawn)

    def _keep(self, file: _File) -> None:
        while not _ready([self._stopped], file.keep()):
            pass

    def close(self) -> None:
        """Answer no more."""
        self._stop.send(b"x")
        for each in self._threads:
            each.join()
        for one in (*self._listeners, self._stop, self._stopped):
            one.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _ready(waited: Sequence[socket.socket], seconds: float | None = None) -> list[socket.socket]:
    """Wait until something has come, *seconds* at most, and give where."""
    poll = select.poll()
    for each in waited:
        poll.register(each, select.POLLIN)
    found = {fd for fd, _ in poll.poll(None if seconds is None else seconds * 1000 + 1)}
    return [each for each in waited if each.fileno() in found]


@contextmanager
def _cut_after(seconds: float, connection: socket.socket) -> Iterator[None]:
    """Cut the connection if what is done with it takes longer, however busy it looks."""

    def cut() -> None:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class _Fresh:
    """Gives what was drawn up lately, else draws it up anew; None if that fails.  Thread-safe."""

    def __init__(self, drawn: Drawn) -> None:
        self._drawn = drawn
        self._turn = threading.Lock()
        self._text: bytes | None = None
        self._at = float("-inf")

    def __call__(self) -> bytes | None:
        with self._turn:
            if time.monotonic() - self._at > FRESH:
                self._text = self._draw()
                self._at = time.monotonic()
            return self._text

    def _draw(self) -> bytes | None:
        try:
            return self._drawn()
        except Exception:  # noqa: BLE001  # the application's code; the upload is checked all the same
            _log.exception("the metrics cannot be drawn up")
            return None


class _File:
    """The file for node_exporter; a fault is told once, until it works again."""

    def __init__(self, path: Path, drawn: _Fresh) -> None:
        self._path, self._drawn = path, drawn
        self._due = float("-inf")
        self._failing = False

    def keep(self) -> float:
        """Write it if it is time; give the seconds until it is time again."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + FILE_EVERY
            self._write()
        return max(0.0, self._due - now)

    def _write(self) -> None:
        text = self._drawn()
        if text is None:
            return
        try:
            write_file(self._path, text)
        except OSError as error:
            if not self._failing:
                _log.warning("the metrics file %s cannot be written: %s", self._path, error)
            self._failing = True
        else:
            self._failing = False


class _Handler(BaseHTTPRequestHandler):
    """One request."""

    server_version = "hashwacht"
    sys_version = ""
    timeout = _PATIENCE

    def __init__(self, connection: socket.socket, drawn: _Fresh) -> None:
        """Answer it."""
        self._drawn = drawn
        nobody: Any = None  # there is no server object, and we never ask it for anything
        super().__init__(connection, ("", 0), nobody)

    def do_GET(self) -> None:
        """Answer."""
        if self.path.partition("?")[0] != PATH:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        text = self._drawn()
        if text is None:
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR)
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        """Write nothing: a scrape is no event."""


def write_file(path: Path, text: bytes) -> None:
    """Write so that node_exporter, another user, finds the old file or the new one whole."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")  # no .prom: not to be collected
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o644)  # whatever the umask says
            file.write(text)
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
