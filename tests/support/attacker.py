"""An attacker that replaces names as fast as possible, in a separate process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def attack(program: Path, *arguments: str | Path) -> Iterator[None]:
    """Run a program that prints ``begun`` and loops until its input ends."""
    with subprocess.Popen(
        [sys.executable, program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as swapper:
        assert swapper.stdin
        assert swapper.stdout
        assert swapper.stdout.readline() == b"begun\n"
        try:
            yield
        finally:
            assert swapper.poll() is None, "the attacker's process ended early"
            swapper.stdin.close()
    assert swapper.returncode == 0
