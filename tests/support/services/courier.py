"""A real courier, run as in production: a separate process with a configuration of its own."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from hashwacht.ipc.client import CourierUnreachable, IpcClient
from hashwacht.ipc.messages import DescribeReply, DescribeRequest
from hashwacht.matching.courier_client import CourierMatcher
from hashwacht.matching.services.service_matchers import build_protocol
from hashwacht.settings import HashlistSettings, Settings, load
from support.processes import wait_for
from support.program import Program


@dataclass
class RunningCourier:
    """A courier and the path of its socket."""

    program: Program
    socket: Path
    process: subprocess.Popen[bytes]

    @property
    def settings(self) -> Settings:
        """The settings it has read."""
        environ = self.program.environment
        return load(environ, uid=0, file=self.program.configuration).settings

    def matcher(self, name: str) -> CourierMatcher:
        """Return a matcher that sends its lookups through the courier."""
        (settings,) = (matcher for matcher in self.settings.matchers if matcher.name == name)
        assert not isinstance(settings, HashlistSettings)
        protocol = build_protocol(settings)
        return CourierMatcher(
            name, protocol.accepts, protocol.revision(settings.base_url), self.socket
        )

    def restart(self) -> None:
        """Kill the courier and start a new one."""
        self.process.kill()
        self.process.communicate()
        self.process = self.program.start("daemon", "courier")
        wait_until_it_answers(self.socket)


@contextmanager
def courier(program: Program) -> Iterator[RunningCourier]:
    """Run a courier with the configuration of *program*."""
    runtime = program.home / "run"
    program.environment["RUNTIME_DIRECTORY"] = str(runtime)
    courier = RunningCourier(program, runtime / "courier.sock", program.start("daemon", "courier"))
    try:
        wait_until_it_answers(courier.socket)
        yield courier
    finally:
        courier.process.send_signal(signal.SIGCONT)
        courier.process.terminate()
        courier.process.communicate(timeout=20)


def wait_until_it_answers(path: Path) -> None:
    """Wait until a courier at *path* answers."""
    with closing(IpcClient(path)) as link:

        def answers() -> bool:
            try:
                return isinstance(link.call(DescribeRequest(), 5), DescribeReply)
            except CourierUnreachable:
                return False

        wait_for(answers, 30)


@contextmanager
def pretender(path: Path) -> Iterator[socket.socket]:
    """Listen in place of a courier without answering."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        listening.listen()
        yield listening
    path.unlink()
