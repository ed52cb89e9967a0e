"""Borders, letterboxes, and bars with text: ground along the edges of a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from hashwacht.hashing.views.layout import largest_gap
from hashwacht.hashing.views.lines import TOLERANCE, Box, FlatRun, Page, Shades, flat_runs

_MAX_FRAME_LINE = 3
"""Lines of a thin frame between two grounds, or between a ground and the edge."""

_MIN_SHARE = 0.2
"""Of an axis, what has to remain of it for the rest to be a picture."""

_MAX_LAYERS = 4
_MIN_SOFT_ROWS = 6
_MAX_ASYMMETRY = 2
_MIN_EDGE, _MIN_CONTRAST = 3, 1.5
"""Grey levels of an edge, and how many times the steps before it."""

_MAX_COUNTED = 12
"""Grey levels: an edge is over the whole axis, however much there is of it in one place."""


def trim(page: Page, box: Box, layers: int = _MAX_LAYERS) -> Box:
    """Return *box* without up to *layers* grounds along each side, one inside the other."""
    for _ in range(layers):
        trimmed = _peel(page, _peel(page, box, columns=False), columns=True)
        if trimmed == box or not _remains(trimmed, box):
            break
        box = trimmed
    return box


def trim_soft(page: Page) -> Box:
    """Return the page without equal sides of any colours that end at an edge over the whole axis.

    Such sides are a blurred copy of the picture that fills the rest.
    """
    box = page.whole
    for columns in (False, True):
        rows = page.inside(box, columns=columns)
        above = _soft(rows)
        below = _soft(rows[::-1]) if above else 0
        if above and abs(above - below) <= _MAX_ASYMMETRY:
            box = _part(box, above, len(rows) - below, columns=columns)
    return box


def _soft(rows: Shades) -> int:
    """Return how many rows there are before the sharpest edge of the upper half; 0 if none."""
    half = rows[: len(rows) // 2]
    if len(half) < _MIN_SOFT_ROWS:
        return 0
    steps = _mean_steps(half)
    edge = int(np.argmax(steps)) + 1
    if edge < _MIN_SOFT_ROWS:
        return 0
    outer = steps[: edge - 2].max()
    return edge if steps[edge - 1] >= _MIN_EDGE + _MIN_CONTRAST * outer else 0


def _mean_steps(rows: Shades) -> npt.NDArray[np.float64]:
    """Return the mean difference of each row and the next; the sums are exact, as products."""
    steps = np.minimum(np.abs(np.diff(rows, axis=0)), _MAX_COUNTED).astype(np.float32)
    sums = (steps @ np.ones(steps.shape[1], np.float32)).astype(np.float64)
    means: npt.NDArray[np.float64] = sums / steps.shape[1]
    return means


def symmetric(part: Box, whole: Box) -> Box:
    """Return *part* with borders as wide as the narrower one of both sides of each axis.

    Where a picture has the colour of its border, more than the border was trimmed.
    """
    above, left = part.top - whole.top, part.left - whole.left
    below, right = whole.bottom - part.bottom, whole.right - part.right
    down, across = min(above, below), min(left, right)
    return Box(whole.top + down, whole.left + across, whole.bottom - down, whole.right - across)


def without_bars(page: Page, box: Box) -> Iterator[Box]:
    """Yield *box* without what is above, below, and both, up to the last flat line in its ground.

    Where a picture ends in a flat ground of its own, only one of the three is right.
    """
    rows = page.lines(box)
    runs = flat_runs(rows)
    above = [run for run in runs[:1] if run.first <= _MAX_FRAME_LINE]
    below = [run for run in runs[-1:] if run.end >= len(rows) - _MAX_FRAME_LINE]
    for grounds in (above, below, [*above, *below]):
        gaps = [run for run in runs if any(_alike(run, ground) for ground in grounds)]
        first, end = largest_gap(gaps, len(rows))
        if gaps and end > first:
            part = Box(box.top + first, box.left, box.top + end, box.right)
            yield _peel(page, part, columns=True)


def _alike(run: FlatRun, ground: FlatRun) -> bool:
    return abs(run.shade - ground.shade) <= TOLERANCE


def _peel(page: Page, box: Box, *, columns: bool) -> Box:
    """Remove one ground above and below, or left and right."""
    rows = page.lines(box, columns=columns)
    return _part(box, *_between(flat_runs(rows), len(rows)), columns=columns)


def _part(box: Box, first: int, end: int, *, columns: bool) -> Box:
    if columns:
        return Box(box.top, box.left + first, box.bottom, box.left + end)
    return Box(box.top + first, box.left, box.top + end, box.right)


def _between(runs: Sequence[FlatRun], length: int) -> tuple[int, int]:
    first, end = 0, length
    if runs and runs[0].first <= _MAX_FRAME_LINE:
        first = runs[0].end
    if runs and runs[-1].end >= length - _MAX_FRAME_LINE:
        end = runs[-1].first
    return (first, end) if first < end else (0, length)


def _remains(part: Box, whole: Box) -> bool:
    height, width = part.bottom - part.top, part.right - part.left
    return height >= _MIN_SHARE * (whole.bottom - whole.top) and width >= _MIN_SHARE * (
        whole.right - whole.left
    )
