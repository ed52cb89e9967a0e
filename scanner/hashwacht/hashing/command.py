"""An operator's hasher that is a program: it reads a picture on stdin and prints a hash."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Timer

from hashwacht.core.signals import TextSignalType
from hashwacht.core.types import Signal

_LONGEST_OUTPUT = 64 * 1024
"""In bytes.  A program that prints more has not printed a hash."""


class CommandFailed(Exception):
    """The program did not print a hash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandHash(TextSignalType):
    """Runs *argv* once for each picture file and takes its standard output for the hash.

    The program gets the file's own bytes on standard input and nothing else about it, and must
    end with status 0 within *seconds*, or it and its children are killed.
    """

    argv: tuple[str, ...]
    seconds: float

    def signals_from_bytes(self, original: bytes, kind: str) -> Sequence[Signal]:  # noqa: ARG002 - a command reads the kind from the bytes
        """Hash one picture file.  Raises CommandFailed, OSError or ValueError."""
        return [Signal(self.name, self.canonical(self._run(original).decode("ascii")))]

    def _run(self, original: bytes) -> bytes:
        """Feed *original* through memory, never through a file system."""
        descriptor = os.memfd_create("picture")
        with open(descriptor, "w+b") as stdin:  # noqa: PTH123 - a descriptor has no path
            stdin.write(original)
            stdin.seek(0)
            program = subprocess.Popen(  # noqa: S603 - the operator's own command, no shell
                self.argv,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        with program, _killed_after(program, self.seconds):
            printed = program.stdout.read(_LONGEST_OUTPUT + 1) if program.stdout else b""
            if len(printed) > _LONGEST_OUTPUT:
                _kill(program)
        if program.returncode != 0:
            raise CommandFailed(f"{self.argv[0]!r} ended with status {program.returncode}")
        return printed


class _killed_after:  # noqa: N801 - reads as what it does
    """Kill a program that is still running after some seconds, with all its children."""

    def __init__(self, program: subprocess.Popen[bytes], seconds: float) -> None:
        self._timer = Timer(seconds, _kill, [program])

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


def _kill(program: subprocess.Popen[bytes]) -> None:
    """Kill the session that the program leads; its children may hold the pipe open."""
    with suppress(ProcessLookupError):
        os.killpg(program.pid, signal.SIGKILL)
