"""The HTML report: one page that needs nothing else and shows no content.

Names in it were chosen by strangers: they go through :func:`hashwacht.core.paths.show` and Jinja's
escaping, and the page forbids itself outside resources and every script but its own by its policy.

The geometry of the report's charts: values in, positions out.  Pure.
"""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from math import ceil, floor, log10
from pathlib import Path

from hashwacht.cli.render.findings import MEANING, describe_distance, describe_reason
from hashwacht.core import text
from hashwacht.core.errors import UsageError
from hashwacht.core.paths import escape_path
from hashwacht.core.types import Match, Outcome
from hashwacht.scan.report import Report
from hashwacht.secrets.sources import write_private

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
class BarSegment:
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
    """Return three to six round numbers from 0 to at least *highest*."""
    unit = float(base) ** floor(log10(highest) / log10(base))
    steps = [unit * each for each in _round_steps(base)]
    step = next((each for each in steps if highest / each <= 5), unit * base)  # noqa: PLR2004  # six ticks
    yield from (step * number for number in range(ceil(highest / step) + 1))


def _round_steps(base: int) -> list[float]:
    if base == 10:  # noqa: PLR2004  # people count in tens
        return [0.2, 0.5, 1, 2, 5]
    return [0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200]


def stacked(values: Sequence[tuple[str, float]]) -> tuple[BarSegment, ...]:
    """Divide a bar of 100 percent; nothing that is there is too small to be seen."""
    total = sum(value for _, value in values)
    shown = [(name, max(LEAST, 100 * value / total)) for name, value in values if value]
    scale = 100 / sum(width for _, width in shown) if shown else 0
    parts, at = [], 0.0
    for name, width in shown:
        parts.append(BarSegment(name, at, width * scale))
        at += width * scale
    return tuple(parts)


def bar(value: float, longest: float) -> float:
    """Return the length of a bar in percent of the longest one."""
    return max(LEAST, 100 * value / longest) if value and longest else 0.0


SHOWN_KINDS = 12
"""Kinds with a bar of their own; the rest is one bar."""


def report_file(path: Path) -> Path:
    """Check, before a long run, that a report can be written there.  Raises UsageError."""
    path = path.absolute()
    if path.is_dir():
        raise UsageError(f"{path} is a directory", advice="Name the report's file: report.html.")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        raise UsageError(
            f"{path.parent} is no directory that can be written to",
            advice="Create it, or put the report elsewhere.",
        )
    return path


def write_report(report: Report, path: Path) -> None:
    """Write the page, all of it or nothing, readable by the owner alone.  Raises OSError."""
    write_private(path, render(report))


def render(report: Report) -> str:
    """Draw the page."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        count=text.count,
        many=text.plural,
        size=text.format_size,
        span=text.format_duration,
        moment=text.format_time,
        path=escape_path,
        near=describe_distance,
        why=describe_reason,
        source=_source,
    )
    templates = files("hashwacht.cli").joinpath("templates")
    script = templates.joinpath("report.js").read_text("utf-8")
    page = environment.from_string(templates.joinpath("report.html").read_text("utf-8"))
    return page.render(
        script=script,
        script_hash=f"sha256-{b64encode(sha256(script.encode()).digest()).decode()}",
        style=templates.joinpath("report.css").read_text("utf-8"),
        report=report,
        counts=report.counts,
        run=report.run,
        verdicts=_verdicts(report),
        parts=stacked([(name, number) for name, number, _ in _verdicts(report)]),
        kinds=_kinds(report),
        reasons=_reasons(report),
        directories=[
            (row, bar(row.seconds, report.directories[0].seconds)) for row in report.directories
        ],
        files_curve=_files_curve(report),
        bytes_curve=_bytes_curve(report),
    )


def _source(match: Match) -> str:
    return f"{match.matcher} / {match.list}" if match.list else match.matcher


def _verdicts(report: Report) -> list[tuple[str, int, str]]:
    """Yield (outcome, files, share), those that need attention first."""
    order = (Outcome.MATCH, Outcome.UNDETERMINED, Outcome.NO_MATCH)
    numbers = [(outcome, report.verdicts.get(outcome, 0)) for outcome in order]
    total = sum(number for _, number in numbers)
    return [(str(outcome), number, text.percentage(number, total)) for outcome, number in numbers]


def _kinds(report: Report) -> list[tuple[str, int, int, float]]:
    """Yield (kind, files, bytes, length of its bar), the rest in one row."""
    rows = sorted(report.kinds, key=lambda row: (-row.files, row.kind))
    shown = [(row.kind or "unknown", row.files, row.bytes) for row in rows[:SHOWN_KINDS]]
    if rest := rows[SHOWN_KINDS:]:
        name = f"{len(rest)} other kinds"
        shown.append((name, sum(row.files for row in rest), sum(row.bytes for row in rest)))
    longest = max((number for _, number, _ in shown), default=0)
    return [(*row, bar(row[1], longest)) for row in shown]


def _reasons(report: Report) -> list[tuple[str, int, str, float]]:
    """Yield (reason, files, meaning, length of its bar)."""
    rows = sorted(report.reasons.items(), key=lambda row: (-row[1], row[0]))
    longest = rows[0][1] if rows else 0
    return [(reason, number, MEANING[reason], bar(number, longest)) for reason, number in rows]


def _files_curve(report: Report) -> Curve | None:
    points = [(sample.at, sample.files_rate) for sample in report.throughput]
    return curve(points, text.format_duration, text.count)


def _bytes_curve(report: Report) -> Curve | None:
    points = [(sample.at, sample.bytes_rate) for sample in report.throughput]
    return curve(
        points,
        text.format_duration,
        lambda value: text.format_size(value).replace(".0 ", " "),
        step_base=1024,
    )
