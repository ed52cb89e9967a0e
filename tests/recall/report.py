"""The rows of the table: a figure, what it was before views, what to reach, and the verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One measure.  *figure* is None if it was not measured; *before* is free text."""

    measure: str
    before: str
    figure: float | None
    limit: float
    unit: str = ""
    at_least: bool = False

    @property
    def target(self) -> str:
        """The figure to reach."""
        return f"{'≥' if self.at_least else '≤'} {_number(self.limit)}{self.unit}"

    @property
    def result(self) -> str:
        """The figure with its unit."""
        return "" if self.figure is None else f"{_number(self.figure)}{self.unit}"

    @property
    def verdict(self) -> str:
        """Return whether the figure reaches the target."""
        if self.figure is None:
            return "not measured"
        reached = self.figure >= self.limit if self.at_least else self.figure <= self.limit
        return "reached" if reached else "**missed**"


def at_least(measure: str, before: str, figure: float | None, limit: float, unit: str = "") -> Row:
    """Return a row whose figure has a lower bound."""
    return Row(measure, before, figure, limit, unit, at_least=True)


def at_most(measure: str, before: str, figure: float | None, limit: float, unit: str = "") -> Row:
    """Return a row whose figure has an upper bound."""
    return Row(measure, before, figure, limit, unit)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def target_table(rows: Iterable[Row]) -> str:
    """Return the rows with their targets and verdicts as a Markdown table."""
    heads = ("measure", "before views", "now", "to reach", "")
    return table(
        heads, ([row.measure, row.before, row.result, row.target, row.verdict] for row in rows)
    )


def percent(share: float, total: float) -> float:
    """Return a share in per cent; 0 of nothing."""
    return 100 * share / total if total else 0.0


def _number(figure: float) -> str:
    return f"{figure:,.0f}" if figure == int(figure) or figure >= 100 else f"{figure:.1f}"
