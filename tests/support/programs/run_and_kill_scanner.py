"""Run the real scanner repeatedly and kill it each time.

Each line of the input holds seconds: a forked scanner is killed after that time, and ``killed`` is
printed.  A fork works within tens of milliseconds, a new process within a second.
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
    """Run the scanner in this process."""
    never = threading.Event()
    scanner_process(
        lambda: load(os.environ, uid=os.geteuid(), file=file), {}, SystemdNotifier(), never, never
    )


def kill_after(seconds: float, file: Path) -> None:
    """Fork a scanner and kill it after so many seconds."""
    child = os.fork()
    if not child:
        try:
            scan(file)
        except BaseException:  # noqa: BLE001  # else the fork would return into the parent's loop
            traceback.print_exc()
        os._exit(1)
    time.sleep(seconds)  # no event to wait for: any moment is tested
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.write(1, b"killed\n" if os.WIFSIGNALED(status) else b"ended early\n")


if __name__ == "__main__":
    for line in sys.stdin:
        kill_after(float(line), Path(sys.argv[1]))
