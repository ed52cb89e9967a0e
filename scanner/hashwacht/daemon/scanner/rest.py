"""If a file has come to rest: who is still writing to it will be read too early.

The kernel knows if a file is open for writing: a read lease is granted only if it is not
(fcntl(2), F_SETLEASE).  It is taken back at once, so that no writer waits for us.  Where no lease
is to be had (a file of somebody else without CAP_LEASE, some file systems), and for a file that
its writer never closes, the time of its last change decides: the kernel sets it, nobody else can.
"""

from __future__ import annotations

import fcntl
import os
import signal

OPEN_TIMES = 10
"""How many times longer a file must rest that somebody keeps open: he may go on any time."""


def pause(quiet: float, busy: float, attempts: int) -> float:
    """Say how many seconds to wait before the next look at what was looked at so often."""
    return float(min(busy, quiet * 2 ** min(attempts, 30)))


def has_writer(fd: int) -> bool | None:
    """Say if somebody has this file open for writing; None if the kernel will not say."""
    try:
        # A writer who comes while the lease is held makes the kernel send this signal, which is
        # ignored unless somebody asks for it; the usual one, SIGIO, would end the process.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    except OSError:
        return None
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def left(fd: int, *, closed: bool, quiet: float, now: float) -> float:
    """Say in how many seconds the open file may be read if nothing happens; 0: now.

    *closed*: its writer has said so.  *quiet* is for how many seconds it must not have changed
    if nobody can say that it is closed, and OPEN_TIMES as long if somebody has it open to write.
    A change in the future, by a clock that was set back, does not count.
    """
    writer = has_writer(fd)
    if writer is False or (writer is None and closed):
        return 0.0
    needed = OPEN_TIMES * quiet if writer else quiet
    age = now - os.fstat(fd).st_ctime
    return 0.0 if age >= needed or age < -needed else needed - age
