"""The picture in a page: cut along the gaps between the parts until nothing can be cut.

A gap is a run of flat lines in a shade that is a *ground*.  On the whole page every shade is one.
Inside a part only the shades of the gaps around it are, and any that touches two or more of its
sides: a bubble of a chat, the mat of a frame.  A clear sky, which touches one, is not cut off.

Source: Nagy, Seth, Hierarchical representation of optically scanned documents, ICPR 1984: the
X-Y cut.
"""

from __future__ import annotations

from collections.abc import Sequence

from hashwacht.hashing.views.lines import (
    TOLERANCE,
    Box,
    FlatRun,
    Page,
    flat_runs,
)

_MAX_DEPTH = 8
_MIN_SHARE = 0.03
"""The share of the page below which a part is no picture that could be recognised."""

_MAX_FRAME_LINE = 3
"""Lines that may separate a ground from the side that it touches."""

_MIN_SIDES = 2


def largest_parts(page: Page, whole: Box, *, any_ground: bool) -> Sequence[Box]:
    """Return the boxes that lead from *whole* to its largest part that cannot be cut, that first.

    *any_ground*: every flat line of *whole* is a gap, not only those of a ground.
    """
    chain = [whole]
    grounds: list[int] | None = None if any_ground else []
    for _ in range(_MAX_DEPTH):
        part, gaps = _cut(page, chain[-1], grounds)
        if part == chain[-1] or part.area < _MIN_SHARE * whole.area:
            break
        grounds = [*(grounds or []), *gaps]
        chain.append(part)
    return chain[:0:-1]


def _cut(page: Page, box: Box, grounds: Sequence[int] | None) -> tuple[Box, Sequence[int]]:
    """Cut off or apart by rows, else by columns; return the largest part and the gaps' shades."""
    rows, columns = page.lines(box), page.lines(box, columns=True)
    row_runs, column_runs = flat_runs(rows), flat_runs(columns)
    if grounds is not None:
        grounds = [*grounds, *_shared(_ends(row_runs, len(rows)), _ends(column_runs, len(columns)))]
        row_runs = [run for run in row_runs if _matches(run.shade, grounds)]
        column_runs = [run for run in column_runs if _matches(run.shade, grounds)]
    if row_runs:
        first, end = largest_gap(row_runs, len(rows))
        return Box(box.top + first, box.left, box.top + end, box.right), _shades(row_runs)
    if column_runs:
        first, end = largest_gap(column_runs, len(columns))
        return Box(box.top, box.left + first, box.bottom, box.left + end), _shades(column_runs)
    return box, ()


def largest_gap(runs: Sequence[FlatRun], length: int) -> tuple[int, int]:
    """Return the longest stretch of an axis without any of *runs*, as (first, end)."""
    ends = [0, *(run.end for run in runs)]
    begins = [*(run.first for run in runs), length]
    return max(zip(ends, begins, strict=True), key=lambda gap: gap[1] - gap[0])


def _ends(runs: Sequence[FlatRun], length: int) -> list[int]:
    """Return the shades of the runs that touch either end."""
    touching = [run for run in runs[:1] if run.first <= _MAX_FRAME_LINE]
    touching += [run for run in runs[-1:] if run.end >= length - _MAX_FRAME_LINE]
    return _shades(touching)


def _shared(rows: Sequence[int], columns: Sequence[int]) -> list[int]:
    sides = [*rows, *columns]
    return [
        shade for shade in sides if sum(_matches(shade, [side]) for side in sides) >= _MIN_SIDES
    ]


def _matches(shade: int, grounds: Sequence[int]) -> bool:
    return any(abs(shade - ground) <= TOLERANCE for ground in grounds)


def _shades(runs: Sequence[FlatRun]) -> list[int]:
    return [run.shade for run in runs]
