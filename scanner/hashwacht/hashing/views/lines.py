"""Rows and columns of a small grey picture that belong to a ground of one colour.

A *line* is a row or a column within a box.  It is *flat* if nearly all of its pixels have one
colour.  Borders, letterboxes, and the gaps between the parts of a page consist of flat lines; a
photograph has very few.

Columns are the rows of the transposed picture, so that everything is written once, for rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Grey = npt.NDArray[np.uint8]
Shades = npt.NDArray[np.int16]

TOLERANCE = 5
"""Grey levels that a pixel of a flat line may differ by: the noise of a JPEG, averaged."""

_MAX_STRAY = 0.015
"""The share of a flat line that may have other colours: a window's frame, a scroll bar."""

_SAMPLED = 4
"""One pixel of so many is read to find the colour of a line."""


class Box(NamedTuple):
    """Half open: rows *top* to *bottom*, columns *left* to *right*."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def area(self) -> int:
        """Pixels inside."""
        return max(0, self.bottom - self.top) * max(0, self.right - self.left)

    def transposed(self) -> Box:
        """Return the box of the same pixels in the transposed picture."""
        return Box(self.left, self.top, self.right, self.bottom)

    def within(self, outer: Box) -> Box:
        """Return this box, which is relative to *outer*, in the coordinates of the picture."""
        return Box(
            outer.top + self.top,
            outer.left + self.left,
            outer.top + self.bottom,
            outer.left + self.right,
        )


@dataclass(frozen=True, slots=True)
class Lines:
    """Of each row of a box: whether it is flat, and its shade."""

    flat: npt.NDArray[np.bool_]
    shade: Shades

    def __len__(self) -> int:
        return len(self.flat)


class Run(NamedTuple):
    """Flat lines *first* to *end*, half open, and the shade of the middle one."""

    first: int
    end: int
    shade: int


def lines(rows: Shades) -> Lines:
    """Classify the rows of an array (height, width)."""
    samples = rows[:, _SAMPLED // 2 :: _SAMPLED] if rows.shape[1] > 8 * _SAMPLED else rows
    middle = samples.shape[1] // 2
    shade = np.partition(samples, middle, axis=1)[:, middle]
    stray = np.count_nonzero(np.abs(rows - shade[:, None]) > TOLERANCE, axis=1)
    return Lines(stray <= _MAX_STRAY * rows.shape[1], shade)


def flat_runs(rows: Lines) -> list[Run]:
    """Return the longest runs of flat lines of one slowly changing shade."""
    joined = np.zeros(len(rows) + 1, np.bool_)
    steps = np.abs(np.diff(rows.shade))
    joined[1:-1] = rows.flat[1:] & rows.flat[:-1] & (steps <= TOLERANCE)
    begins = np.flatnonzero(rows.flat & ~joined[:-1]).tolist()
    ends = (np.flatnonzero(rows.flat & ~joined[1:]) + 1).tolist()
    return [
        Run(begin, end, int(rows.shade[(begin + end) // 2]))
        for begin, end in zip(begins, ends, strict=True)
    ]
