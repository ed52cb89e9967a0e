"""Notices delivered by an operator's program, which a separate process runs.

The courier cannot start programs itself: they would inherit its sandbox, which hides all files.
So it starts a *runner* before it enters the sandbox.  The runner has neither credentials nor the
configuration, and can do nothing but run this one program, again and again.

Messages in both directions are :data:`_HEADER` and that many bytes.  The first one is the program
and its arguments as a JSON array.  Each later one is its standard input; the reply is its exit
code (negative: a signal) and the end of its standard error.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from hashwacht.courier import rendering
from hashwacht.ipc.messages import DeliverReply, DeliverRequest, FailureReply
from hashwacht.platform.subprocess import STDERR, run_program

PROGRAM_TIMEOUT = 60.0
"""Seconds for one run."""

_HEADER = struct.Struct("!iI")
"""A code, and the number of bytes that follow."""

_TIMED_OUT, _NOT_STARTED = 1 << 16, 1 << 17
"""Codes with which no program ends."""

_RUNNER = (
    "import sys; sys.path[:] = sys.argv[2:];"
    "from hashwacht.courier.command_channel import run_commands; run_commands(int(sys.argv[1]))"
)
"""With ``-I`` neither the environment nor the working directory decides what is imported."""

_ENVIRONMENT = frozenset({"PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ"})
"""The variables that the program gets; others may hold credentials."""


class CommandChannel:
    """Sends notices to the runner, one batch at a time.  Thread-safe."""

    def __init__(
        self, program: Sequence[str], host: str, lost: Callable[[], None] = lambda: None
    ) -> None:
        """Start the runner of *program*; *host* is this machine's name.  Raises OSError.

        *lost* is called when the runner has ended: only a new courier can start another one.
        """
        self._host, self._lost, self._lock = host, lost, threading.Lock()
        self._runner, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
                [sys.executable, "-I", "-c", _RUNNER, str(theirs.fileno()), *sys.path],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={name: os.environ[name] for name in _ENVIRONMENT & os.environ.keys()},
                cwd="/",
            )
        self._runner.settimeout(PROGRAM_TIMEOUT + 10)
        self._send(json.dumps([*program]).encode())

    def deliver(self, deliver: DeliverRequest) -> DeliverReply | FailureReply:
        """Pass every notice as a line of JSON; exit code 0 means delivered."""
        body = "".join(f"{line}\n" for line in rendering.lines(deliver, self._host)).encode()
        with self._lock:
            try:
                self._send(body)
                code, length = _HEADER.unpack(self._receive(_HEADER.size))
                output = self._receive(length).decode(errors="replace").strip()
            except OSError:
                self._runner.close()
                self._lost()
                return FailureReply(
                    "the process that runs the command has ended",
                    "Nothing to do: the courier restarts and delivers the alerts again.",
                )
        if code == 0:
            return DeliverReply()
        last_line = output.rpartition("\n")[2]
        return FailureReply(
            f"the command {_describe(code)}" + (f": {last_line}" if last_line else ""),
            "Run it by hand with a line of JSON on standard input.",
        )

    def close(self) -> None:
        """End the runner."""
        with suppress(OSError):
            self._runner.shutdown(socket.SHUT_RDWR)
        self._runner.close()
        self._process.wait()

    def _send(self, body: bytes) -> None:
        """Send one message.  Raises OSError if the runner has ended."""
        self._runner.sendall(_HEADER.pack(0, len(body)) + body)

    def _receive(self, length: int) -> bytes:
        """Read exactly *length* bytes.  Raises OSError if the runner has ended."""
        content = b""
        while len(content) < length:
            piece = self._runner.recv(length - len(content))
            if not piece:
                raise OSError(0, "the runner has ended")
            content += piece
        return content


def _describe(code: int) -> str:
    if code == _TIMED_OUT:
        return f"was stopped after {PROGRAM_TIMEOUT:g} s"
    if code == _NOT_STARTED:
        return "cannot be started"
    return f"ended with exit code {code}" if code > 0 else f"was killed by signal {-code}"


def run_commands(fd: int) -> None:
    """Serve the courier over the socket *fd* until it closes the connection."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the courier ends it by closing the socket
    with socket.socket(fileno=fd) as courier, courier.makefile("rb") as stream:
        _, length = _HEADER.unpack(stream.read(_HEADER.size))
        program: list[str] = json.loads(stream.read(length))
        while len(header := stream.read(_HEADER.size)) == _HEADER.size:
            _, length = _HEADER.unpack(header)
            code, output = _run(program, stream.read(length))
            courier.sendall(_HEADER.pack(code, len(output)) + output)


def _run(program: list[str], stdin: bytes) -> tuple[int, bytes]:
    try:
        result = run_program(
            program, stdin, PROGRAM_TIMEOUT, capture=(STDERR,), environment=os.environ
        )
    except OSError as error:
        return _NOT_STARTED, (error.strerror or "").encode()
    return (_TIMED_OUT if result.code is None else result.code), result.output
