"""The process that runs an operator's program: no credentials, no shell, bounded time and output.

Messages both ways are :data:`PIPE_HEADER` and so many bytes.  First comes the program and its
arguments as
a JSON array; then, again and again, what it is to read on standard input, answered by its exit
code (below zero: the signal that ended it) and the last it said on standard error.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import subprocess
import time
from contextlib import suppress

PIPE_HEADER = struct.Struct("!iI")
"""A code, and the length of what follows in bytes."""

PROGRAM_TIMEOUT = 60.0
"""Seconds for one run."""

TIMED_OUT, NOT_STARTED = 1 << 16, 1 << 17
"""Codes that no program ends with."""

_LAST_WORDS = 2000
"""Bytes of standard error that are passed on."""


def main(fd: int) -> None:
    """Serve the courier over the socket *fd* until it is gone."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)  # the courier decides; its end is ours
    with socket.socket(fileno=fd) as courier, courier.makefile("rb") as stream:
        program: list[str] = json.loads(
            stream.read(PIPE_HEADER.unpack(stream.read(PIPE_HEADER.size))[1])
        )
        while len(head := stream.read(PIPE_HEADER.size)) == PIPE_HEADER.size:
            _, length = PIPE_HEADER.unpack(head)
            code, said = run(program, stream.read(length))
            courier.sendall(PIPE_HEADER.pack(code, len(said)) + said)


def run(program: list[str], given: bytes, seconds: float = PROGRAM_TIMEOUT) -> tuple[int, bytes]:
    """Run it once; give how it ended and the last it said.

    If it takes longer than *seconds*, it is killed with all that it has started.
    """
    with os.fdopen(os.memfd_create("alerts"), "w+b") as stdin:
        stdin.write(given)
        stdin.seek(0)
        try:
            process = subprocess.Popen(  # noqa: S603  # the operator's own program, no shell
                program,
                stdin=stdin,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            return NOT_STARTED, (error.strerror or "").encode()
    with process:
        said, ended = _listen(process, time.monotonic() + seconds)
        if not ended:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
    return (code if ended else TIMED_OUT), said


def _listen(process: subprocess.Popen[bytes], deadline: float) -> tuple[bytes, bool]:
    """Take what it says, of which the last counts, until it has ended or the time is over."""
    assert process.stderr is not None
    stderr, said = process.stderr.fileno(), b""
    ending = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(stderr, select.POLLIN)
        poll.register(ending, select.POLLIN)
        while (left := deadline - time.monotonic()) > 0:
            ready = {fd for fd, _ in poll.poll(left * 1000)}
            if stderr in ready:
                part = os.read(stderr, 1 << 16)
                said = (said + part)[-_LAST_WORDS:]
                if part:
                    continue
                poll.unregister(stderr)
            if ending in ready:
                return said, True
        return said, False
    finally:
        os.close(ending)
