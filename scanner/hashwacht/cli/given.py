"""Files that were named on the command line, and standard input in place of one."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

STANDARD_INPUT = b"-"


@contextmanager
def opened(name: bytes) -> Iterator[int]:
    """Open what was named for reading, at offset 0; ``-`` is standard input, spooled to disk.

    A name that the caller typed may be a link.  Never blocks on a FIFO or device.  Raises
    OSError.
    """
    if name == STANDARD_INPUT:
        with tempfile.TemporaryFile() as spool:
            shutil.copyfileobj(sys.stdin.buffer, spool)
            spool.seek(0)
            yield spool.fileno()
        return
    fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(0, "not a regular file")
        yield fd
    finally:
        os.close(fd)


def shown_name(name: bytes) -> bytes:
    """Name standard input by what it is."""
    return b"standard input" if name == STANDARD_INPUT else name
