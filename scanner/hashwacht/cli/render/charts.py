"""The geometry of the report's charts: values in, positions out.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

WIDTH, HEIGHT = 720.0, 150.0
"""The drawing area of a curve, in units of its own."""

LEAST = 0.4
"""Percent of a bar that even the smallest part gets: three in ten million must be seen."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis: where, and what it says."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Curve:
    """A value over time: SVG path data of the line and of the area below it, and both axes."""

    line: str
    area: str
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a whole: from where to where, in percent."""

    name: str
    start: float
    width: float


NOTHING = 1e-9
"""A rate below this is none; floating point has no round numbers down there."""


def curve(
    points: Sequence[tuple[float, float]],
    across: Callable[[float], str],
    up: Callable[[float], str],
    step_base: int = 10,
) -> Curve | None:
    """Draw (seconds, value) in the order of time; None if there is too little to draw.

    *across* and *up* label the axes; ticks up are round numbers to *step_base* (10, or 1024).
    """
    if len(points) < 2 or points[-1][0] <= points[0][0]:  # noqa: PLR2004  # a line has two ends
        return None
    first, last = points[0][0], points[-1][0]
    highest = max(value for _, value in points)
    marks = list(_ticks(highest if highest > NOTHING else 1.0, step_base))
    top = marks[-1]
    drawn = [
        (WIDTH * (at - first) / (last - first), HEIGHT * (1 - value / top)) for at, value in points
    ]
    line = "M" + " L".join(f"{x:.1f},{y:.1f}" for x, y in drawn)
    quarters = [first + (last - first) * quarter / 4 for quarter in range(5)]
    return Curve(
        line=line,
        area=f"{line} L{WIDTH:.1f},{HEIGHT:.1f} L0,{HEIGHT:.1f} Z",
        across=tuple(Tick(WIDTH * number / 4, across(at)) for number, at in enumerate(quarters)),
        up=tuple(Tick(HEIGHT * (1 - mark / top), up(mark)) for mark in marks),
    )


def _ticks(highest: float, base: int) -> Iterator[float]:
    """Give three to six round numbers from 0 to at least *highest*."""
    unit = float(base) ** floor(log10(highest) / log10(base))
    steps = [unit * each for each in _round_steps(base)]
    step = next((each for each in steps if highest / each <= 5), unit * base)  # noqa: PLR2004  # six ticks
    yield from (step * number for number in range(ceil(highest / step) + 1))


def _round_steps(base: int) -> list[float]:
    if base == 10:  # noqa: PLR2004  # people count in tens
        return [0.2, 0.5, 1, 2, 5]
    return [0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200]


def stacked(values: Sequence[tuple[str, float]]) -> tuple[Part, ...]:
    """Divide a bar of 100 percent; nothing that is there is too small to be seen."""
    total = sum(value for _, value in values)
    shown = [(name, max(LEAST, 100 * value / total)) for name, value in values if value]
    scale = 100 / sum(width for _, width in shown) if shown else 0
    parts, at = [], 0.0
    for name, width in shown:
        parts.append(Part(name, at, width * scale))
        at += width * scale
    return tuple(parts)


def bar(value: float, longest: float) -> float:
    """Give the length of a bar in percent of the longest one."""
    return max(LEAST, 100 * value / longest) if value and longest else 0.0
