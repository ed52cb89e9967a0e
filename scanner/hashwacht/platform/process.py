"""Giving way: a run at the lowest processor and I/O priority is not noticed by a busy server.

A layer that cannot be had here.

Ending with the process that started this one (prctl(2)).
"""

from __future__ import annotations

import ctypes
import os
import signal


class SandboxUnavailable(Exception):
    """The layer cannot be had here, and why."""


_PR_SET_PDEATHSIG = 1


def terminate_with_parent(parent: int) -> None:
    """Have the kernel send SIGTERM when *parent*, which started this process, is gone."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:  # it went before we asked
        os.kill(os.getpid(), signal.SIGTERM)


def lower_priority() -> None:
    """Lower this process to nice 19 and I/O class idle; what is started later inherits it.

    There is no way back without privileges.
    """
    import psutil

    this = psutil.Process()
    this.nice(19)
    this.ionice(psutil.IOPRIO_CLASS_IDLE)
