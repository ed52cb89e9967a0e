"""Where the picture is inside a picture: without borders, text bars and the frame of a screenshot.

The regions are found in a small copy, in which the noise of a JPEG is averaged, and their edges
then in the picture as given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import numpy.typing as npt

from hashwacht.hashing.views.borders import symmetric, trim, trim_soft, without_bars
from hashwacht.hashing.views.layout import largest_parts
from hashwacht.hashing.views.lines import Box, Grey, Page

VERSION = 3
"""To be raised when the regions of some picture change: contents are then hashed again."""

MAX_REGIONS = 6

_WORKING_SIDE = 400
"""Pixels that the long side of the small copy has at most."""

_NOISY_LINES = 6
"""Lines beyond an edge that the noise of a JPEG, in blocks of eight pixels, reaches."""

_MIN_SIDE = 32
"""Pixels of the short side of a region, and of a picture that may have one."""

_SHARP = 0.6
"""The share of the strongest difference of two rows that an edge has at least."""

_SAME = 0.004
"""The share of the short side by which the sides of two regions differ at least."""

_WHOLE = 0.98
"""A region with this share of both axes is the whole picture: the same hash, within few bits."""


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a picture, half open: ``grey[top:bottom, left:right]``.

    *name*: ``trim`` (without borders), ``bars`` (without bars above or below) or ``screen`` (of a
    screenshot).
    """

    name: str
    top: int
    left: int
    bottom: int
    right: int


def regions(grey: Grey) -> Sequence[Region]:
    """Return up to ``MAX_REGIONS`` distinct regions of (H, W) grey, the most probable first."""
    height, width = grey.shape
    results: list[Region] = []
    if min(height, width) >= _MIN_SIDE:
        for name, box in _boxes(grey):
            known = any(_same(region_box(other), box) for other in results)
            if not known and _useful(box, height, width):
                results.append(Region(name, *box))
    return tuple(results[:MAX_REGIONS])


def region_box(region: Region) -> Box:
    """Return the box of a region."""
    return Box(region.top, region.left, region.bottom, region.right)


class _Copy:
    """A part of a picture, small, in which boxes are found for the picture."""

    def __init__(self, grey: Grey, part: Box) -> None:
        from PIL import Image

        self._grey, self._part = grey, part
        inside = grey[part.top : part.bottom, part.left : part.right]
        self._step = -(-max(inside.shape) // _WORKING_SIDE)
        image = Image.fromarray(np.ascontiguousarray(inside))
        small = image.reduce(self._step) if self._step > 1 else image
        self.page = Page(np.asarray(small).astype(np.int16))

    def exact(self, box: Box) -> Box:
        """Return a box of the copy in the picture, with its sides at the edges there."""
        if box == self.page.whole:
            return self._part
        enlarged = Box(*(self._step * side for side in box))
        part = self._part
        if min(box.bottom - box.top, box.right - box.left) * self._step < _MIN_SIDE:
            return enlarged.within(part)
        inside = self._grey[part.top : part.bottom, part.left : part.right]
        return _refined(inside, enlarged, self._step).within(part)


def _boxes(grey: Grey) -> Iterator[tuple[str, Box]]:
    copy = _Copy(grey, Box(0, 0, *grey.shape))
    page = copy.page
    once = trim(page, page.whole, 1)
    yield "trim", copy.exact(trim_soft(page))
    yield "trim", copy.exact(once)
    bars = [bar for box in dict.fromkeys((page.whole, once)) for bar in without_bars(page, box)]
    for bar, screen in zip_longest(dict.fromkeys(bars), _screens(grey, copy)):
        if bar is not None:
            yield "bars", copy.exact(bar)
        if screen is not None:
            yield "screen", screen
    if once != page.whole:
        yield "trim", copy.exact(symmetric(once, page.whole))
        yield "trim", copy.exact(trim(page, page.whole))


def _screens(grey: Grey, copy: _Copy) -> Iterator[Box]:
    parts = largest_parts(copy.page, copy.page.whole, any_ground=True)
    exact = [copy.exact(part) for part in parts]
    if exact and _large(exact[0]):
        yield from _inner_parts(grey, exact[0])
    yield from exact


def _inner_parts(grey: Grey, part: Box) -> Iterator[Box]:
    """Cut a part again, in a finer copy: by the grounds around it, and by every ground."""
    finer = _Copy(grey, part)
    for any_ground in (False, True):
        inner = largest_parts(finer.page, finer.page.whole, any_ground=any_ground)
        yield from (finer.exact(box) for box in inner[:1])


def _useful(box: Box, height: int, width: int) -> bool:
    tall, wide = box.bottom - box.top, box.right - box.left
    return _large(box) and (tall < _WHOLE * height or wide < _WHOLE * width)


def _same(one: Box, other: Box) -> bool:
    """Return whether two regions have the same hash, within a few bits."""
    near = _SAME * min(one.bottom - one.top, one.right - one.left)
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) <= near


def _large(box: Box) -> bool:
    return min(box.bottom - box.top, box.right - box.left) >= _MIN_SIDE


def _refined(grey: Grey, box: Box, step: int) -> Box:
    """Move each side of *box* to the strongest edge nearby."""
    height, width = grey.shape
    bottom, right = min(box.bottom, height), min(box.right, width)
    inside = grey[:, box.left : right]
    top = _edge(inside, box.top, step)
    bottom = height - _edge(inside[::-1], height - bottom, step)
    inside = grey[top:bottom].T
    left = _edge(inside, box.left, step)
    right = width - _edge(inside[::-1], width - right, step)
    return Box(top, left, bottom, right)


def _edge(rows: Grey, at: int, step: int) -> int:
    """Return the first row near *at* that differs from the one before it as much as any there."""
    first = max(0, at - step - 1)
    near = rows[first : at + step + _NOISY_LINES].astype(np.int16)
    if at == 0 or len(near) < 2:  # noqa: PLR2004 - two rows have one difference
        return at
    steps: npt.NDArray[np.float64] = np.abs(np.diff(near, axis=0)).mean(axis=1)
    return first + 1 + int(np.argmax(steps >= _SHARP * steps.max()))
