"""What keeps a run of the tests from hanging: default signals, and limits outside of tests.

A test itself ends after ``faulthandler_timeout`` (pyproject.toml), and with it its process.
"""

from __future__ import annotations

import faulthandler
import fcntl
import os
import signal
import sys
import threading
from typing import IO

TURN_LIMIT = 1200.0
"""Seconds to wait for a turn: longer than the tests of the other workers can take."""

EXIT_LIMIT = 120.0
"""Seconds for the process to exit when its tests are done; a stuck thread would prevent that."""

_KEPT_IGNORED = {signal.SIGPIPE, signal.SIGXFSZ}
"""Python itself ignores these, and subprocess restores them in children."""


def restore_signals() -> None:
    """Restore the default disposition of every ignored signal, and block none.

    Child processes inherit both from whatever started the run (a background job of a shell
    ignores SIGINT and SIGQUIT, nohup SIGHUP), and a test that interrupts one would wait for ever.
    """
    for number in signal.valid_signals():
        if number not in _KEPT_IGNORED and signal.getsignal(number) is signal.SIG_IGN:
            python = number == signal.SIGINT
            signal.signal(number, signal.default_int_handler if python else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def acquire_turn(file: IO[str], kind: int, limit: float = TURN_LIMIT) -> None:
    """Acquire a flock(2); exit if that takes longer than *limit* seconds."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        timer = exit_after(limit, f"no turn within {limit:g} s: a process keeps {file.name}")
        try:
            fcntl.flock(file, kind)
        finally:
            timer.cancel()


def exit_after(seconds: float, reason: str) -> threading.Timer:
    """Exit this process with the stacks of all threads, unless the timer is cancelled before."""

    def end() -> None:
        os.write(2, f"\n{reason}\n".encode())
        faulthandler.dump_traceback(sys.__stderr__ or 2)
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    return timer
