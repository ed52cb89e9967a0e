"""Borders, letterboxes, and bars with text: ground along the edges of a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hashwacht.hashing.views.layout import largest_gap
from hashwacht.hashing.views.lines import TOLERANCE, Box, Run, Shades, flat_runs, lines

_MAX_FRAME_LINE = 3
"""Lines of a thin frame between two grounds, or between a ground and the edge."""

_MIN_SHARE = 0.2
"""Of an axis, what has to remain of it for the rest to be a picture."""

_MAX_LAYERS = 4


def trim(grey: Shades, box: Box, layers: int = _MAX_LAYERS) -> Box:
    """Return *box* without up to *layers* grounds along each side, one inside the other."""
    for _ in range(layers):
        trimmed = _peel(grey, _peel(grey, box, columns=False), columns=True)
        if trimmed == box or not _remains(trimmed, box):
            break
        box = trimmed
    return box


def symmetric(part: Box, whole: Box) -> Box:
    """Return *part* with borders as wide as the narrower one of both sides of each axis.

    Where a picture has the colour of its border, more than the border was trimmed.
    """
    above, left = part.top - whole.top, part.left - whole.left
    below, right = whole.bottom - part.bottom, whole.right - part.right
    down, across = min(above, below), min(left, right)
    return Box(whole.top + down, whole.left + across, whole.bottom - down, whole.right - across)


def without_bars(grey: Shades, box: Box) -> Iterator[Box]:
    """Yield *box* without what is above, below, and both, up to the last flat line in its ground.

    Where a picture ends in a flat ground of its own, only one of the three is right.
    """
    rows = lines(grey[box.top : box.bottom, box.left : box.right])
    runs = flat_runs(rows)
    above = [run for run in runs[:1] if run.first <= _MAX_FRAME_LINE]
    below = [run for run in runs[-1:] if run.end >= len(rows) - _MAX_FRAME_LINE]
    for grounds in (above, below, [*above, *below]):
        gaps = [run for run in runs if any(_alike(run, ground) for ground in grounds)]
        first, end = largest_gap(gaps, len(rows))
        if gaps and end > first:
            part = Box(box.top + first, box.left, box.top + end, box.right)
            yield _peel(grey, part, columns=True)


def _alike(run: Run, ground: Run) -> bool:
    return abs(run.shade - ground.shade) <= TOLERANCE


def _peel(grey: Shades, box: Box, *, columns: bool) -> Box:
    """Remove one ground above and below, or left and right."""
    inside = grey[box.top : box.bottom, box.left : box.right]
    rows = inside.T if columns else inside
    first, end = _between(flat_runs(lines(rows)), len(rows))
    if columns:
        return Box(box.top, box.left + first, box.bottom, box.left + end)
    return Box(box.top + first, box.left, box.top + end, box.right)


def _between(runs: Sequence[Run], length: int) -> tuple[int, int]:
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
