"""The HTML report: one page that needs nothing else and shows no content.

Names in it were chosen by strangers: they go through :func:`hashwacht.core.paths.show` and Jinja's
escaping, and the page forbids itself scripts and outside resources by its own policy.
"""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from hashwacht.cli.render import figures
from hashwacht.cli.render.charts import Curve, bar, curve, stacked
from hashwacht.cli.render.findings import nearness, why
from hashwacht.cli.render.reasons import MEANING
from hashwacht.core.errors import UsageError
from hashwacht.core.paths import show
from hashwacht.scan.report import Report
from hashwacht.secrets.private_file import write_private
from hashwacht.core.types import Outcome

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
        count=figures.count,
        many=figures.many,
        size=figures.size,
        span=figures.span,
        moment=figures.moment,
        path=show,
        near=nearness,
        why=why,
    )
    templates = files("hashwacht.cli").joinpath("templates")
    page = environment.from_string(templates.joinpath("report.html").read_text("utf-8"))
    return page.render(
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


def _verdicts(report: Report) -> list[tuple[str, int, str]]:
    """Give (outcome, files, share), what needs attention first."""
    order = (Outcome.MATCH, Outcome.UNDETERMINED, Outcome.NO_MATCH)
    numbers = [(outcome, report.verdicts.get(outcome, 0)) for outcome in order]
    total = sum(number for _, number in numbers)
    return [(str(outcome), number, figures.share(number, total)) for outcome, number in numbers]


def _kinds(report: Report) -> list[tuple[str, int, int, float]]:
    """Give (kind, files, bytes, length of its bar), the rest in one row."""
    rows = sorted(report.kinds, key=lambda row: (-row.files, row.kind))
    shown = [(row.kind or "unknown", row.files, row.bytes) for row in rows[:SHOWN_KINDS]]
    if rest := rows[SHOWN_KINDS:]:
        name = f"{len(rest)} other kinds"
        shown.append((name, sum(row.files for row in rest), sum(row.bytes for row in rest)))
    longest = max((number for _, number, _ in shown), default=0)
    return [(*row, bar(row[1], longest)) for row in shown]


def _reasons(report: Report) -> list[tuple[str, int, str, float]]:
    """Give (reason, files, meaning, length of its bar)."""
    rows = sorted(report.reasons.items(), key=lambda row: (-row[1], row[0]))
    longest = rows[0][1] if rows else 0
    return [(reason, number, MEANING[reason], bar(number, longest)) for reason, number in rows]


def _files_curve(report: Report) -> Curve | None:
    points = [(sample.at, sample.files_rate) for sample in report.throughput]
    return curve(points, figures.span, figures.count)


def _bytes_curve(report: Report) -> Curve | None:
    points = [(sample.at, sample.bytes_rate) for sample in report.throughput]
    return curve(
        points, figures.span, lambda value: figures.size(value).replace(".0 ", " "), step_base=1024
    )
