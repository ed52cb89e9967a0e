"""Directories so deep that the kernel does not take their paths (PATH_MAX is 4096 bytes)."""

from __future__ import annotations

import os
from pathlib import Path

NAME = "n" * 200


def deepened(top: Path, levels: int) -> int:
    """Make directories called NAME, one in the other; give a descriptor of the last one.

    Raises OSError.
    """
    here = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(levels):
        os.mkdir(NAME, dir_fd=here)
        deeper = os.open(NAME, os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = deeper
    return here
