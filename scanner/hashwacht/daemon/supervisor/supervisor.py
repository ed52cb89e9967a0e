"""All parts of the daemon under one command, where no service manager does it.

Each part is a process; if one ends, it alone is started again, after a pause that grows.  What the
others want of it meanwhile waits: the sockets are made here and live on, and the scanner has
everything in its journal.
"""

from __future__ import annotations

import select
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

from hashwacht.core.errors import ExitCode, HashwachtError
from hashwacht.daemon.supervisor.child import Child, ChildSpec, RestartBackoff, describe_exit

GRACE = 60.0
"""Seconds that a part gets to end in order before it is killed."""

_HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


ChildSpecs = Callable[[], Sequence[ChildSpec]]
"""Says which parts are wanted, in the order in which they start; the last one is the first to
end.  Called again for a reload; then it may raise ConfigurationError."""


class Supervisor:
    """Runs the parts until it is told to stop.  In the main thread: it handles signals."""

    def __init__(
        self,
        parts: ChildSpecs,
        environ: Mapping[str, str],
        say: Callable[[str], None],
        pauses: RestartBackoff,
    ) -> None:
        """*environ* is the environment of the parts; *say* tells people one line."""
        self._parts, self._environ, self._say = parts, environ, say
        self._pauses = pauses
        self._children: dict[str, Child] = {}
        self._ending = False
        self._kill_at: float | None = None
        self._code = ExitCode.OK

    def run(self) -> ExitCode:
        """Run until SIGTERM or SIGINT, and end in order; SIGHUP reloads.

        A part that cannot even start the first time for an error of the configuration ends
        everything if it is the last one, the scanner: nobody would watch.
        """
        with _signals() as heard:
            self._want(self._parts())
            try:
                while self._children:
                    self._start_due()
                    self._wait(heard)
            finally:
                for child in self._children.values():
                    child.send(signal.SIGKILL)
        return self._code

    def _want(self, parts: Sequence[ChildSpec]) -> None:
        """Run just these from now on; those that run already read their configuration anew."""
        wanted = {part.name: part for part in parts}
        for name, child in [*self._children.items()]:
            if name in wanted:
                child.reload()
            else:
                self._retire(child)
        for name, part in wanted.items():
            self._children.setdefault(name, Child(part, self._environ, self._pauses))

    def _start_due(self) -> None:
        for child in self._children.values():
            if child.due is not None and child.due <= time.monotonic():
                child.start()
                self._say(f"{child.part.name} started (process {child.pid})")

    def _wait(self, heard: socket.socket) -> None:
        """Wait for whatever comes first: a signal, the end of a part, its time to start."""
        running = {child.fd: child for child in self._children.values() if child.fd is not None}
        poll = select.poll()
        for fd in (heard.fileno(), *running):
            poll.register(fd, select.POLLIN)
        times = (*(child.due for child in self._children.values()), self._kill_at)
        soonest = min((each for each in times if each is not None), default=None)
        left = None if soonest is None else max(0.0, soonest - time.monotonic()) * 1000 + 1
        for fd, _ in poll.poll(left):
            if fd in running:
                self._bury(running[fd])
        for number in _received(heard):
            self._obey(number)
        if self._kill_at is not None and time.monotonic() >= self._kill_at:
            self._kill_at = None
            for child in self._children.values():
                child.send(signal.SIGKILL)

    def _obey(self, number: int) -> None:
        if number == signal.SIGHUP:
            if not self._ending:
                self._reload()
        elif self._ending:
            self._say("stopping at once")
            self._kill_at = time.monotonic()
        else:
            self._say("stopping")
            self._end()

    def _reload(self) -> None:
        try:
            parts = self._parts()
        except HashwachtError as error:
            self._say(f"still running as before: {error.message}")
            return
        self._say("reloading")
        self._want(parts)

    def _bury(self, child: Child) -> None:
        """Take note of an end; unless it was wanted, the part is started again."""
        name = child.part.name
        code, pause = child.reap()
        if child.stopping:
            self._say(f"{name} {describe_exit(code)}")
            del self._children[name]
            if self._ending:
                self._end()
        elif child.starts == 1 and name == [*self._children][-1] and code == ExitCode.ERROR:
            self._say(f"{name} cannot start")
            self._code = ExitCode.ERROR
            self._end()
        else:
            again = f"starts again in {pause:g} s" if pause else "starts again"
            self._say(f"{name} {describe_exit(code)} and {again}")

    def _end(self) -> None:
        """End the last part, and all others once it has: it may have something to tell."""
        if not self._ending:
            self._ending, self._kill_at = True, time.monotonic() + GRACE
            last = [*self._children.values()][-1:]
        else:
            last = [*self._children.values()]
        for child in last:
            self._retire(child)
        if not any(child.fd is not None for child in last) and self._children:
            self._end()

    def _retire(self, child: Child) -> None:
        """Let a part end and not start again."""
        if child.stopping:
            return
        child.stopping, child.due = True, None
        if child.fd is None:
            del self._children[child.part.name]
        else:
            child.send(signal.SIGTERM)


@contextmanager
def _signals() -> Iterator[socket.socket]:
    """Give a socket from which the numbers of signals can be read (signal.set_wakeup_fd)."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for each in (ours, theirs):
            each.setblocking(False)
        former = {number: signal.signal(number, _note) for number in _HEARD}
        before = signal.set_wakeup_fd(theirs.fileno())
        try:
            yield ours
        finally:
            signal.set_wakeup_fd(before)
            for number, handler in former.items():
                signal.signal(number, handler)


def _note(number: int, frame: FrameType | None) -> None:
    """Do nothing: the number is in the socket by now."""


def _received(heard: socket.socket) -> list[int]:
    try:
        return [*heard.recv(64)]
    except BlockingIOError:
        return []
