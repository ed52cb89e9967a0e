"""Supervisor of the daemon's processes, for machines without a service manager.

Scanner, courier and watcher are child processes.  A child that exits is restarted alone, after a
back-off.  The sockets belong to the supervisor and outlive their processes, and the scanner keeps
all pending work in its journal, so requests wait for a restart instead of failing.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from hashwacht.core.errors import ExitCode, HashwachtError
from hashwacht.platform.backoff import Backoff

STOP_TIMEOUT = 60.0
"""Seconds that a process has to exit after SIGTERM before it is killed."""


@dataclass(frozen=True, slots=True)
class RestartBackoff(Backoff):
    """Delays before an exited process is restarted.

    A process that ran for *settled* seconds counts as healthy: its next delay is *first* again.
    """

    first: float = 0.5
    longest: float = 30.0
    settled: float = 30.0


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """A process to run: ``hashwacht ARGUMENTS``, with the socket that it serves, if any."""

    name: str
    arguments: tuple[str, ...]
    listener: socket.socket | None = None


ChildSpecs = Callable[[], Sequence[ChildSpec]]
"""Returns the processes to run, in start order; the last one is stopped first.  Called again for
each reload; it may then raise ConfigurationError."""


class Child:
    """One supervised process.  Used by the supervisor's thread only."""

    def __init__(
        self, spec: ChildSpec, environ: Mapping[str, str], backoff: RestartBackoff
    ) -> None:
        """Prepare the process; it is *due* at once.

        *due* is the monotonic time of the next start, None while the process runs.
        """
        self.spec = spec
        self._environ, self._backoff = dict(environ), backoff
        self._process: subprocess.Popen[bytes] | None = None
        self._fd, self._started, self._failures = -1, 0.0, 0
        self._reloading = self.stopping = False
        self.starts = 0
        self.due: float | None = time.monotonic()

    @property
    def fd(self) -> int | None:
        """The pidfd, readable once the process has exited; None if it does not run."""
        return self._fd if self._process is not None else None

    @property
    def pid(self) -> int | None:
        """The process id, None if it does not run."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the process in its own process group, so that ^C reaches only the supervisor."""
        listener = self.spec.listener
        inherited = () if listener is None else (listener.fileno(),)
        self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
            [
                *(sys.executable, "-P", "-m", "hashwacht", *self.spec.arguments),
                f"--parent={os.getpid()}",
                *(f"--listen-fd={fd}" for fd in inherited),
            ],
            pass_fds=inherited,
            stdin=subprocess.DEVNULL,
            env=self._environ,
            process_group=0,
        )
        self.starts += 1
        self._fd = os.pidfd_open(self._process.pid)
        self._started, self.due = time.monotonic(), None

    def reap(self) -> tuple[int, float]:
        """Collect the exited process; return its exit code and the delay before its restart."""
        assert self._process is not None
        code = self._process.wait()
        os.close(self._fd)
        delay = 0.0
        if not self._reloading:
            healthy = time.monotonic() - self._started >= self._backoff.settled
            self._failures = 1 if healthy else self._failures + 1
            delay = self._backoff.delay(self._failures)
        self._process, self._reloading = None, False
        self.due = time.monotonic() + delay
        return code, delay

    def reload(self) -> None:
        """Send SIGHUP; a process that waits for its restart starts at once."""
        if self._process is None:
            self.due = time.monotonic()
        else:
            self._reloading = True
            self.send(signal.SIGHUP)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it runs."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._fd, number)


class Supervisor:
    """Runs child processes until SIGTERM or SIGINT.  In the main thread: it handles signals."""

    def __init__(
        self,
        specs: ChildSpecs,
        environ: Mapping[str, str],
        report: Callable[[str], None],
        backoff: RestartBackoff,
    ) -> None:
        """*environ* is the children's environment; *report* prints one line for the user."""
        self._specs, self._environ, self._report = specs, environ, report
        self._backoff = backoff
        self._children: dict[str, Child] = {}
        self._stopping = False
        self._kill_at: float | None = None
        self._exit_code = ExitCode.OK

    def run(self) -> ExitCode:
        """Run until SIGTERM or SIGINT, then stop all processes in order; SIGHUP reloads.

        A configuration error at the first start of the last process, the scanner, stops
        everything: without it no root is watched.
        """
        with _signal_socket() as signals:
            self._apply(self._specs())
            try:
                while self._children:
                    for child in self._children.values():
                        if child.due is not None and child.due <= time.monotonic():
                            child.start()
                            self._report(f"{child.spec.name} started (pid {child.pid})")
                    self._wait(signals)
            finally:
                for child in self._children.values():
                    child.send(signal.SIGKILL)
        return self._exit_code

    def _apply(self, specs: Sequence[ChildSpec]) -> None:
        """Run exactly these processes; those that run already reload their configuration."""
        wanted = {spec.name: spec for spec in specs}
        for name, child in [*self._children.items()]:
            if name in wanted:
                child.reload()
            else:
                self._stop(child)
        for name, spec in wanted.items():
            self._children.setdefault(name, Child(spec, self._environ, self._backoff))

    def _wait(self, signals: socket.socket) -> None:
        """Wait for a signal, an exit, or the next due start or kill, and handle it."""
        running = {child.fd: child for child in self._children.values() if child.fd is not None}
        poll = select.poll()
        for fd in (signals.fileno(), *running):
            poll.register(fd, select.POLLIN)
        deadlines = (*(child.due for child in self._children.values()), self._kill_at)
        first = min((deadline for deadline in deadlines if deadline is not None), default=None)
        milliseconds = None if first is None else max(0.0, first - time.monotonic()) * 1000 + 1
        for fd, _ in poll.poll(milliseconds):
            if fd in running:
                self._reap(running[fd])
        received = b""
        with suppress(BlockingIOError):
            received = signals.recv(64)
        for number in received:
            self._handle(number)
        if self._kill_at is not None and time.monotonic() >= self._kill_at:
            self._kill_at = None
            for child in self._children.values():
                child.send(signal.SIGKILL)

    def _handle(self, number: int) -> None:
        if number == signal.SIGHUP:
            if not self._stopping:
                self._reload()
        elif self._stopping:
            self._report("stopping immediately")
            self._kill_at = time.monotonic()
        else:
            self._report("stopping")
            self._stop_all()

    def _reload(self) -> None:
        try:
            specs = self._specs()
        except HashwachtError as error:
            self._report(f"configuration not reloaded: {error.message}")
        else:
            self._report("reloading")
            self._apply(specs)

    def _reap(self, child: Child) -> None:
        """Handle an exit: schedule a restart unless the process is being stopped."""
        name = child.spec.name
        code, delay = child.reap()
        if child.stopping:
            self._report(f"{name} {describe_exit(code)}")
            del self._children[name]
            if self._stopping:
                self._stop_all()
        elif child.starts == 1 and name == [*self._children][-1] and code == ExitCode.ERROR:
            self._report(f"{name} cannot start")
            self._exit_code = ExitCode.ERROR
            self._stop_all()
        else:
            restart = f"restarting in {delay:g} s" if delay else "restarting"
            self._report(f"{name} {describe_exit(code)}, {restart}")

    def _stop_all(self) -> None:
        """Stop the last process, then all others: the scanner may still need the courier."""
        children = [*self._children.values()]
        if not self._stopping:
            self._stopping, self._kill_at = True, time.monotonic() + STOP_TIMEOUT
            children = children[-1:]
        for child in children:
            self._stop(child)
        if not any(child.fd is not None for child in children) and self._children:
            self._stop_all()

    def _stop(self, child: Child) -> None:
        if child.stopping:
            return
        child.stopping, child.due = True, None
        if child.fd is None:
            del self._children[child.spec.name]
        else:
            child.send(signal.SIGTERM)


def describe_exit(code: int) -> str:
    """Return how a process ended, as a predicate for a status line."""
    if code < 0:
        with suppress(ValueError):
            return f"was killed by {signal.Signals(-code).name}"
        return f"was killed by signal {-code}"
    return "exited" if code == ExitCode.OK else f"exited with status {code}"


@contextmanager
def _signal_socket() -> Iterator[socket.socket]:
    """Yield a socket that receives the number of each signal (signal.set_wakeup_fd)."""
    receiver, sender = socket.socketpair()
    with receiver, sender:
        receiver.setblocking(False)
        sender.setblocking(False)
        handled = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        # The handler has nothing to do: the wakeup socket has received the number already.
        handlers = {number: signal.signal(number, lambda *_: None) for number in handled}
        wakeup_fd = signal.set_wakeup_fd(sender.fileno())
        try:
            yield receiver
        finally:
            signal.set_wakeup_fd(wakeup_fd)
            for number, handler in handlers.items():
                signal.signal(number, handler)
