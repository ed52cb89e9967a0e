"""One part of the daemon as a child process: started, watched, started again after a pause."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from hashwacht.core.errors import ExitCode


@dataclass(frozen=True, slots=True)
class RestartBackoff:
    """Seconds before a part that ended is started again: the *first* time, doubling, at most.

    After *settled* seconds it counts as running well: the next pause is the first one again.
    """

    first: float = 0.5
    longest: float = 30.0
    settled: float = 30.0

    def after(self, failures: int) -> float:
        """Give the pause after so many failures in a row, the first of them being 1."""
        return min(self.longest, self.first * 2.0 ** min(failures - 1, 30))


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """What is run: ``hashwacht ARGUMENTS``, with the socket on which it serves, if it does."""

    name: str
    arguments: tuple[str, ...]
    listening: socket.socket | None = None


class Child:
    """Runs one part as long as it is wanted.  For one thread: the supervisor's."""

    def __init__(self, part: ChildSpec, environ: Mapping[str, str], pauses: RestartBackoff) -> None:
        """Start nothing yet: it is *due* at once (by the monotonic clock; None while it runs).

        *retired* says that it is not wanted any more once it has ended.
        """
        self.part = part
        self._environ, self._pauses = dict(environ), pauses
        self._process: subprocess.Popen[bytes] | None = None
        self._fd = -1
        self._started = 0.0
        self._failures = 0
        self._renewed = False
        self.starts = 0
        self.stopping = False
        self.due: float | None = time.monotonic()

    @property
    def fd(self) -> int | None:
        """A descriptor that can be read when it ends (pidfd_open(2)); None if it does not run."""
        return self._fd if self._process is not None else None

    @property
    def pid(self) -> int | None:
        """Its process, if it runs."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start it.  In a process group of its own: ^C is the supervisor's to handle."""
        serving = () if self.part.listening is None else (self.part.listening.fileno(),)
        given = [f"--listen-fd={fd}" for fd in serving]
        self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
            [
                *(sys.executable, "-P", "-m", "hashwacht", *self.part.arguments),
                *(f"--parent={os.getpid()}", *given),
            ],
            pass_fds=serving,
            stdin=subprocess.DEVNULL,
            env=self._environ,
            process_group=0,
        )
        self.starts += 1
        self._fd = os.pidfd_open(self._process.pid)
        self._started, self.due = time.monotonic(), None

    def reap(self) -> tuple[int, float]:
        """Take note that it ended; give how, and in how many seconds it is to be started again."""
        assert self._process is not None
        code = self._process.wait()
        os.close(self._fd)
        pause = 0.0
        if not self._renewed:
            lived = time.monotonic() - self._started
            self._failures = 1 if lived >= self._pauses.settled else self._failures + 1
            pause = self._pauses.after(self._failures)
        self._process, self._renewed = None, False
        self.due = time.monotonic() + pause
        return code, pause

    def reload(self) -> None:
        """Tell it that the configuration changed; if it waits or ends for it, it starts at once."""
        if self._process is None:
            self.due = time.monotonic()
        else:
            self._renewed = True
            self.send(signal.SIGHUP)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._fd, number)


def describe_exit(code: int) -> str:
    """Say how a process ended, for people."""
    if code < 0:
        with suppress(ValueError):
            return f"was killed by {signal.Signals(-code).name}"
        return f"was killed by signal {-code}"
    return "ended" if code == ExitCode.OK else f"ended with exit code {code}"
