"""Directories too deep for the kernel to accept their paths (PATH_MAX is 4096 bytes)."""

from __future__ import annotations

import os
from pathlib import Path

NAME = "n" * 200


def deepened(top: Path, levels: int) -> int:
    """Make nested directories called NAME; return a descriptor of the innermost.

    Raises OSError.
    """
    here = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(levels):
        os.mkdir(NAME, dir_fd=here)
        deeper = os.open(NAME, os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = deeper
    return here
