"""Notices by an operator's program, run by a process of its own.

The courier cannot start programs itself: it has locked every file away from itself, and a program
would inherit that.  So a *runner* is started first, which knows neither credentials nor network
services nor the configuration: it can do nothing but run this one program, again and again.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from hashwacht.courier import rendering
from hashwacht.courier.command_runner import NOT_STARTED, PIPE_HEADER, PROGRAM_TIMEOUT, TIMED_OUT
from hashwacht.ipc.messages import DeliverReply, DeliverRequest, FailureReply

_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[2:];"
    "from hashwacht.courier.command_runner import main; main(int(sys.argv[1]))"
)
"""With ``-I`` nothing of the environment or the working directory decides what is imported."""

_PASSED_ON = frozenset({"PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ"})
"""All of the environment that the program sees: it may hold credentials."""


class CommandChannel:
    """Hands notices to the runner, one batch at a time.  Thread-safe."""

    def __init__(
        self, program: Sequence[str], host: str, lost: Callable[[], None] = lambda: None
    ) -> None:
        """Start the runner of *program*; *host* is this machine's name.  Raises OSError.

        *lost* is called when the runner is gone: it takes a courier that begins anew to have one.
        """
        self._host = host
        self._lost = lost
        self._turn = threading.Lock()
        self._runner, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
                [sys.executable, "-I", "-c", _PROGRAM, str(theirs.fileno()), *sys.path],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={name: os.environ[name] for name in _PASSED_ON & os.environ.keys()},
                cwd="/",
            )
        self._runner.settimeout(PROGRAM_TIMEOUT + 10)
        self._write(json.dumps([*program]).encode())

    def deliver(self, deliver: DeliverRequest) -> DeliverReply | FailureReply:
        """Give it every notice as a line of JSON; exit code 0 means delivered."""
        body = "".join(f"{line}\n" for line in rendering.lines(deliver, self._host)).encode()
        with self._turn:
            try:
                self._write(body)
                code, length = PIPE_HEADER.unpack(self._read(PIPE_HEADER.size))
                said = self._read(length).decode(errors="replace").strip()
            except OSError:
                self._runner.close()
                self._lost()
                problem = "the process that runs the command is gone"
                return FailureReply(
                    problem, "The courier begins anew by itself; then it is tried again."
                )
        if code == 0:
            return DeliverReply()
        last = said.rpartition("\n")[2]
        return FailureReply(
            f"the command {_ended(code)}" + (f": {last}" if last else ""),
            "Run it by hand with a line of JSON on standard input.",
        )

    def close(self) -> None:
        """Let the runner end; it ends with us in any case."""
        with suppress(OSError):
            self._runner.shutdown(socket.SHUT_RDWR)
        self._runner.close()
        self._process.wait()

    def _write(self, body: bytes) -> None:
        """Hand one message over.  Raises OSError if the runner is gone."""
        self._runner.sendall(PIPE_HEADER.pack(0, len(body)) + body)

    def _read(self, length: int) -> bytes:
        """Read just so many bytes.  Raises OSError if the runner is gone."""
        parts = b""
        while len(parts) < length:
            part = self._runner.recv(length - len(parts))
            if not part:
                raise OSError(0, "the runner is gone")
            parts += part
        return parts


def _ended(code: int) -> str:
    if code == TIMED_OUT:
        return f"was stopped after {PROGRAM_TIMEOUT:g} s"
    if code == NOT_STARTED:
        return "cannot be started"
    return f"ended with exit code {code}" if code > 0 else f"was killed by signal {-code}"
