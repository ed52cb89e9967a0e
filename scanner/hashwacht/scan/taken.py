"""Fingerprinting a file that others write to, and keeping only what proves something later."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from hashwacht.platform.safe_open import settled, stable
from hashwacht.core.types import FileId, Fingerprint

UNSETTLED = -1
"""Kept in place of a change time that is too fresh to prove anything: equal to none."""


def taken(fd: int, fingerprint: Callable[[int], Fingerprint]) -> tuple[FileId, Fingerprint]:
    """Read an open file, twice if it changes meanwhile; say what it was at that moment.

    An equal FileId seen later proves that it was not written to since.  Raises OSError, Changed.
    """
    began = 0

    def read(fd: int) -> Fingerprint:
        nonlocal began
        began = time.time_ns()
        return fingerprint(fd)

    at, found = stable(fd, read)
    return (at if settled(at, began) else replace(at, ctime_ns=UNSETTLED)), found
