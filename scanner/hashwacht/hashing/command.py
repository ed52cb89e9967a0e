"""A hasher that is an operator's program: it reads a picture on stdin and prints a hash."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from hashwacht.core.signals import TextSignalType
from hashwacht.core.types import Signal
from hashwacht.platform.subprocess import STDOUT, run_program

_LONGEST_OUTPUT = 64 * 1024
"""Bytes; a program that prints more has not printed a hash."""


class CommandFailed(Exception):
    """The program did not print a hash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandHash(TextSignalType):
    """Runs *argv* once for each picture file; its standard output is the hash.

    The program gets the file's bytes on standard input and nothing else about it.  It must end
    with exit code 0 within *seconds*, or it is killed with its children.
    """

    argv: tuple[str, ...]
    seconds: float

    def signals_from_bytes(self, original: bytes, kind: str) -> Sequence[Signal]:  # noqa: ARG002 - a command reads the kind from the bytes
        """Return the hash of one picture file.  Raises CommandFailed, OSError or ValueError."""
        return [Signal(self.name, self.canonical(self._run(original).decode("ascii")))]

    def _run(self, original: bytes) -> bytes:
        """Return what the program prints for *original*, which reaches no file system."""
        result = run_program(
            self.argv,
            original,
            self.seconds,
            capture=(STDOUT,),
            max_output=_LONGEST_OUTPUT,
            stop_at_max_output=True,
            environment=os.environ,
        )
        if result.code != 0:
            raise CommandFailed(f"{self.argv[0]!r} {result.end}")
        return result.output
