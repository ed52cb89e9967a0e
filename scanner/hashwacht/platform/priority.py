"""Giving way: a run at the lowest processor and I/O priority is not noticed by a busy server."""

from __future__ import annotations


def give_way() -> None:
    """Lower this process to nice 19 and I/O class idle; what is started later inherits it.

    There is no way back without privileges.
    """
    import psutil

    this = psutil.Process()
    this.nice(19)
    this.ionice(psutil.IOPRIO_CLASS_IDLE)
