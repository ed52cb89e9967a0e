"""A program that runs the real scanner again and again, and kills it after some time.

With seconds on standard input, a line each, it forks a scanner for every line, kills it that long
after, and writes ``killed`` to standard output.  Forked, because then it is at work after some
tens of milliseconds, and not after the second that a start takes.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

from hashwacht.daemon.scanner_process import scanner_process
from hashwacht.platform.systemd import SystemdNotifier
from hashwacht.settings import load


def scan(file: Path) -> None:
    """Be the scanner."""
    never = threading.Event()
    scanner_process(
        lambda: load(os.environ, uid=os.geteuid(), file=file), {}, SystemdNotifier(), never, never
    )


def kill_after(seconds: float, file: Path) -> None:
    """Let a scanner live for some seconds."""
    child = os.fork()
    if not child:
        try:
            scan(file)
        except BaseException:  # noqa: BLE001  # or it would go on with the parent's tests
            traceback.print_exc()
        os._exit(1)
    time.sleep(seconds)  # no event to wait for: the instant shall be any
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.write(1, b"killed\n" if os.WIFSIGNALED(status) else b"ended by itself\n")


if __name__ == "__main__":
    for line in sys.stdin:
        kill_after(float(line), Path(sys.argv[1]))
