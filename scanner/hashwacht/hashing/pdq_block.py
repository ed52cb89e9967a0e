"""From the 16x16 block of PDQ's frequencies to its 256 bits, as stored and turned.

Source: Meta, ThreatExchange, ``pdq/cpp/hashing/pdqhashing.cpp`` and the PDQ paper
(``hashing/hashing.pdf`` in the same repository).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_MEDIAN = 127
"""Meta's median (Torben's) of an even number of values is the lower of the two in the middle."""

_ODD = (np.arange(16) % 2).astype(bool)
_ROW_SIGN = np.where(_ODD, 1, -1).astype(np.float32)[:, None]
_COLUMN_SIGN = _ROW_SIGN.T


def orientations(block: Floats) -> dict[str, Floats]:
    """Turn and mirror the picture by turning and mirroring its frequencies; the empty name first.

    Reversing a row of samples negates its odd cosine frequencies and keeps the even ones;
    entry 0 of the block holds frequency 1, so the signs alternate from minus.  Exchanging rows
    and columns of the picture exchanges those of the block.  Names: ``rotateN`` is N degrees
    counter-clockwise (as Meta, numpy and Pillow turn), ``flip`` upside down, ``flop`` left to
    right, ``transpose`` and ``transverse`` along the two diagonals.  Meta calls the last four
    FlipX, FlipY, FlipPlus1 and FlipMinus1.
    """
    flip, flop = block * _ROW_SIGN, block * _COLUMN_SIGN
    both = flip * _COLUMN_SIGN
    return {
        "": block,
        "rotate90": flop.T,
        "rotate180": both,
        "rotate270": flip.T,
        "flip": flip,
        "flop": flop,
        "transpose": block.T,
        "transverse": both.T,
    }


def margin(block: Floats) -> float:
    """Distance between the median and the next larger frequency: how sure the bits are."""
    middle = np.partition(block.ravel(), (_MEDIAN, _MEDIAN + 1))
    return float(middle[_MEDIAN + 1] - middle[_MEDIAN])


def near_median(block: Floats, distance: float) -> int:
    """Count the frequencies at most that far from the median, itself included."""
    flat = block.ravel()
    return int(np.count_nonzero(np.abs(flat - np.partition(flat, _MEDIAN)[_MEDIAN]) <= distance))


def to_hex(block: Floats) -> str:
    """Set a bit for each frequency above the median; most significant is the highest frequency."""
    flat = block.ravel()
    bits = flat > np.partition(flat, _MEDIAN)[_MEDIAN]
    return np.packbits(bits[::-1]).tobytes().hex()
