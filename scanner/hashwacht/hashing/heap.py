"""How much freed memory the C library keeps for the next picture."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_LEARNT = 2 << 20
"""Bytes of the block.  Twice as much may stay with the process."""


def keep_some() -> None:
    """Let glibc keep up to 4 MiB that were freed, instead of giving back every picture's pixels.

    The kernel hands memory out in pages, and clears each of them at its first touch: measured
    0.25 to 4 us a page, up to a third of the time of a picture of 640x480.  glibc maps blocks
    from 128 KiB on by themselves, and trims its heap at twice that, until it learns better: by
    the size of the largest mapped block (up to 32 MiB) that was ever freed (mallopt(3),
    M_MMAP_THRESHOLD).  Decoding any larger picture has the same effect.  Other C libraries do
    not mind.
    """
    bytearray(_LEARNT)


def give_back() -> None:
    """Give all of it back now, where the C library can (malloc_trim(3))."""
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
