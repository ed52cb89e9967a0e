"""Giving way: a run at the lowest processor and I/O priority is not noticed by a busy server."""

from __future__ import annotations

import os


def give_way() -> None:
    """Lower this process to nice 19 and I/O class idle; workers started later inherit it.

    There is no way back without privileges.  What the system refuses is left as it is.
    """
    import psutil

    os.nice(19)
    psutil.Process().ionice(psutil.IOPRIO_CLASS_IDLE)
