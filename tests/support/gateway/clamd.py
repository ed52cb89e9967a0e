"""Our clamd server in a thread, a real clamd with our list, and bytes sent to either of them."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Self

import pytest

from hashwacht.gateway.checks import ContentChecks
from hashwacht.gateway.clamd.client_socket import DEFAULT_TIMEOUTS, ClamdTimeouts
from hashwacht.gateway.clamd.server import ClamdFront
from hashwacht.settings.gateway import ClamdSettings

PATIENCE = 20.0
"""Seconds until a test fails because something does not happen."""

MAX_STREAM = 1 << 20


@dataclass(frozen=True)
class Packet:
    """What one sendmsg sends: bytes, and descriptors with them."""

    data: bytes
    descriptors: tuple[int, ...] = ()


def connect(address: Path | int) -> socket.socket:
    """Return a connection to a path, or to a port of this machine."""
    if isinstance(address, int):
        return socket.create_connection(("127.0.0.1", address), PATIENCE)
    connected = socket.socket(socket.AF_UNIX)
    connected.settimeout(PATIENCE)
    try:
        connected.connect(os.fspath(address))
    except OSError:
        connected.close()
        raise
    return connected


def receive_all(connected: socket.socket) -> bytes:
    """Return what arrives until the end of the connection."""
    received = bytearray()
    while True:
        try:
            piece = connected.recv(1 << 16)
        except ConnectionResetError:
            break
        if not piece:
            break
        received += piece
    return bytes(received)


def exchange(
    address: Path | int,
    packets: Sequence[Packet | bytes],
    *,
    half_closes: bool = False,
    pause: float = 0.0,
) -> bytes:
    """Send *packets* and return everything that is received.

    *pause*: seconds between two, so that each is read alone.
    """
    with connect(address) as connected:
        for number, packet in enumerate(packets):
            if number and pause:
                time.sleep(pause)
            sent = packet if isinstance(packet, Packet) else Packet(packet)
            try:
                if sent.descriptors:
                    socket.send_fds(connected, [sent.data], [*sent.descriptors])
                else:
                    connected.sendall(sent.data)
            except (BrokenPipeError, ConnectionResetError):
                break
        if half_closes:
            try:
                connected.shutdown(socket.SHUT_WR)
            except OSError:
                return receive_all(connected)
        return receive_all(connected)


def instream(content: bytes, chunk: int = 1024, command: bytes = b"zINSTREAM\0") -> bytes:
    """Return the bytes by which a client sends *content*."""
    pieces = [content[start : start + chunk] for start in range(0, len(content), chunk)]
    framed = b"".join(len(piece).to_bytes(4, "big") + piece for piece in pieces)
    return command + framed + bytes(4)


class ServedFront:
    """A ClamdFront in a thread of its own, on a Unix socket and on a port of this machine."""

    def __init__(self, front: ClamdFront, directory: Path) -> None:
        self.front, self.path = front, directory / "ours.sock"
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.listen()
        return self

    def listen(self) -> None:
        """Begin to serve, on new sockets."""
        self.path.unlink(missing_ok=True)
        local, remote = socket.socket(socket.AF_UNIX), socket.socket()
        local.bind(os.fspath(self.path))
        remote.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        remote.bind(("127.0.0.1", self.port))
        for listener in (local, remote):
            listener.listen(128)
        self.port = remote.getsockname()[1]
        asyncio.run_coroutine_threadsafe(self.front.start([local, remote]), self._loop).result()

    def close(self) -> None:
        """End the server as a stop of the gateway does."""
        asyncio.run_coroutine_threadsafe(self.front.close(), self._loop).result(PATIENCE)
        self.path.unlink(missing_ok=True)

    def call(self, function: Callable[[], object]) -> None:
        """Run *function* in the event loop, and wait for it."""
        done = threading.Event()

        def run() -> None:
            function()
            done.set()

        self._loop.call_soon_threadsafe(run)
        assert done.wait(PATIENCE)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until *condition* holds."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def __exit__(self, *exc: object) -> None:
        self.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def served(
    checks: ContentChecks,
    directory: Path,
    settings: ClamdSettings | None = None,
    *,
    max_connections: int = 64,
    timeouts: ClamdTimeouts = DEFAULT_TIMEOUTS,
) -> ServedFront:
    """Return a server for *checks* that accepts contents up to MAX_STREAM."""
    settings = settings or ClamdSettings(max_stream=MAX_STREAM)
    return ServedFront(ClamdFront(checks, settings, max_connections, timeouts), directory)


@dataclass(frozen=True)
class RealClamd:
    """A running clamd of Debian without any virus database."""

    path: Path
    port: int
    configuration: Path
    pid: int


@contextmanager
def real_clamd(
    directory: Path, listed: Sequence[bytes], max_stream: int = MAX_STREAM
) -> Iterator[RealClamd]:
    """Run clamd with the SHA-256 of *listed* as its only signatures."""
    program = shutil.which("clamd")
    if program is None:
        pytest.skip("needs the Debian package clamav-daemon")
    database = directory / "db"
    database.mkdir()
    lines = [f"{sha256(c).hexdigest()}:{len(c)}:listed.{n}" for n, c in enumerate(listed)]
    (database / "own.hsb").write_text("\n".join(lines) + "\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path, configuration = directory / "real.sock", directory / "clamd.conf"
    user = "User root\n" if os.geteuid() == 0 else ""
    configuration.write_text(
        f"DatabaseDirectory {database}\nLocalSocket {path}\nTCPSocket {port}\nTCPAddr 127.0.0.1\n"
        f"TemporaryDirectory {directory}\nForeground yes\nStreamMaxLength {max_stream}\n"
        f"SelfCheck 0\n{user}"
    )
    command = [program, f"--config-file={configuration}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 2 * PATIENCE
            while True:
                try:
                    connect(path).close()
                    break
                except OSError:
                    assert process.poll() is None
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
            yield RealClamd(path, port, configuration, process.pid)
        finally:
            process.terminate()
