"""A service manager that, like systemd, keeps sockets and stored descriptors between processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

PATIENCE = 30.0
"""Seconds for a process to become ready, and to end."""

_LAUNCH = """
import fcntl, os, sys
passed, command = [int(word) for word in sys.argv[1].split(",") if word], sys.argv[2:]
copies = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 100) for descriptor in passed]
for number, descriptor in enumerate(copies):
    os.dup2(descriptor, 3 + number, inheritable=True)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(command[0], command)
"""
"""Places descriptors from 3 on, as sd_listen_fds(3) requires."""


class ManagedService:
    """One service: its processes, one after another, and its descriptor store (sd_notify(3))."""

    def __init__(
        self,
        directory: Path,
        command: Sequence[str | Path],
        environment: Mapping[str, str],
        sockets: Mapping[str, socket.socket],
    ) -> None:
        """Prepare the service; *sockets* are those of its socket units, by name."""
        self.stored: dict[str, int] = {}
        self._command, self._sockets = command, sockets
        self._ready = threading.Event()
        address = directory / "notify"
        self._notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notifications.bind(str(address))
        self._environment = {**environment, "NOTIFY_SOCKET": str(address)}
        self._log = directory / "log"
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The present process."""
        assert self._process is not None
        return self._process

    def start(self) -> None:
        """Start a process with all descriptors, and wait until it is ready."""
        self._ready.clear()
        passed = {name: one.fileno() for name, one in self._sockets.items()} | self.stored
        environment = {
            **self._environment,
            "LISTEN_FDS": str(len(passed)),
            "LISTEN_FDNAMES": ":".join(passed),
        }
        numbers = ",".join(map(str, passed.values()))
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _LAUNCH, numbers, *self._command],
                env=environment,
                pass_fds=[*passed.values()],
                stderr=log,
            )
        assert self._ready.wait(PATIENCE), self._log.read_text()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the process; its stored descriptors remain."""
        self.process.send_signal(number)
        self.process.wait(PATIENCE)

    def restart(self) -> None:
        """Stop and start, as ``systemctl restart`` does."""
        self.stop()
        self.start()

    def _receive(self) -> None:
        while True:
            message, descriptors, _, _ = socket.recv_fds(self._notifications, 4096, 8)
            fields = dict(line.split("=", 1) for line in message.decode().splitlines())
            if "FDSTORE" in fields:
                (self.stored[fields["FDNAME"]],) = descriptors
                continue
            for descriptor in descriptors:
                os.close(descriptor)
            if "FDSTOREREMOVE" in fields:
                os.close(self.stored.pop(fields["FDNAME"]))
            if "READY" in fields:
                self._ready.set()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for descriptor in self.stored.values():
            os.close(descriptor)
