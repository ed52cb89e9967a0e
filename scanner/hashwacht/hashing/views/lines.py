"""Rows and columns of a small grey picture that belong to a ground of one colour.

A *line* is a row or a column within a box.  It is *flat* if nearly all of its pixels have one
colour, or those of a smooth line at both sides of the box, as in the gradient of a desktop.
Borders, letterboxes, and the gaps between the parts of a page consist of flat lines; a photograph
has very few.

Columns are the rows of the transposed picture, so that everything is written once, for rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Grey = npt.NDArray[np.uint8]
Shades = npt.NDArray[np.int16]
Flags = npt.NDArray[np.bool_]

TOLERANCE = 5
"""Grey levels that a pixel of a flat line may differ by: the noise of a JPEG, averaged."""

_MAX_STRAY = 0.015
"""The share of a flat line that may have other colours: a window's frame, a scroll bar."""

_SAMPLES = 9
"""Pixels that are read to find the colour of a line, as the median of three medians of three."""

_SCREENED = 48
"""Pixels of a line that are compared first, at least."""

_MAX_STEP = 3
"""Grey levels between neighbours in a smooth line."""


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

    flat: Flags
    shade: Shades

    def __len__(self) -> int:
        return len(self.flat)


class FlatRun(NamedTuple):
    """Flat lines *first* to *end*, half open, and the shade of the middle one."""

    first: int
    end: int
    shade: int


class Page:
    """A small grey picture, and the lines of its boxes, each classified once."""

    def __init__(self, shades: Shades) -> None:
        self.shades = shades
        self.whole = Box(0, 0, *shades.shape)
        self._lines: dict[tuple[Box, bool], Lines] = {}

    def inside(self, box: Box, *, columns: bool = False) -> Shades:
        """Return the rows of a box, or its columns as rows."""
        part = self.shades[box.top : box.bottom, box.left : box.right]
        return part.T if columns else part

    def lines(self, box: Box, *, columns: bool = False) -> Lines:
        """Classify the rows or columns of a box."""
        key = box, columns
        if key not in self._lines:
            self._lines[key] = _classify(self.inside(box, columns=columns))
        return self._lines[key]


def _classify(rows: Shades) -> Lines:
    length = rows.shape[1]
    samples = rows.T[_places(length)]
    shade = _median(*(_median(*samples[first : first + 3]) for first in (0, 3, 6)))
    most = _MAX_STRAY * length
    flat = _alike(rows, np.broadcast_to(shade[:, None], rows.shape), most)
    if not flat[0] and not flat[-1]:
        flat |= _repeats(rows, int(most))
    return Lines(flat, shade)


@lru_cache(maxsize=64)
def _places(length: int) -> list[int]:
    return [int(place) for place in np.linspace(0, length - 1, _SAMPLES)]


def _alike(rows: Shades, shades: Shades, most: float) -> Flags:
    """Return which rows have at most *most* pixels that are off *shades*.

    If some of the pixels of a row are more, all of them are: so of a photograph, few rows are
    compared whole.
    """
    step = max(1, rows.shape[1] // _SCREENED)
    alike = _are_near(rows[:, ::step], shades[:, ::step], most)
    candidates = np.flatnonzero(alike)
    if step > 1 and len(candidates):
        alike[candidates] = _are_near(rows[candidates], shades[candidates], most)
    return alike


def _are_near(rows: Shades, shades: Shades, most: float) -> Flags:
    near: Flags = np.count_nonzero(np.abs(rows - shades) > TOLERANCE, axis=1) <= most
    return near


def _median(one: Shades, two: Shades, three: Shades) -> Shades:
    return np.maximum(np.minimum(one, two), np.minimum(np.maximum(one, two), three))


def _repeats(rows: Shades, most: int) -> Flags:
    """Return which rows equal the first one, if that is smooth and the last row is the same."""
    side = rows[0]
    for steps, limit in ((np.diff(side), _MAX_STEP), (rows[-1] - side, TOLERANCE)):
        if np.count_nonzero(np.abs(steps) > limit) > most:
            return np.zeros(len(rows), np.bool_)
    return _alike(rows, np.broadcast_to(side, rows.shape), most)


def flat_runs(rows: Lines) -> list[FlatRun]:
    """Return the longest runs of flat lines of one slowly changing shade."""
    if not rows.flat.any():
        return []
    joined = np.zeros(len(rows) + 1, np.bool_)
    steps = np.abs(np.diff(rows.shade))
    joined[1:-1] = rows.flat[1:] & rows.flat[:-1] & (steps <= TOLERANCE)
    begins = np.flatnonzero(rows.flat & ~joined[:-1]).tolist()
    ends = (np.flatnonzero(rows.flat & ~joined[1:]) + 1).tolist()
    return [
        FlatRun(begin, end, int(rows.shade[(begin + end) // 2]))
        for begin, end in zip(begins, ends, strict=True)
    ]
