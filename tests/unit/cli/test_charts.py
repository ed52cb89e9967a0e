"""The geometry of the report's charts."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashwacht.cli.render.html_report import HEIGHT, WIDTH, bar, curve, stacked
from hashwacht.core.text import format_duration, format_size

values = st.floats(0, 1e15, allow_nan=False)


@given(st.lists(values, min_size=2, max_size=50), st.sampled_from([10, 1024]))
def test_every_point_of_a_curve_is_inside_its_axes(heights: list[float], base: int) -> None:
    drawn = curve(list(enumerate(heights)), format_duration, format_size, base)
    assert drawn is not None
    points = [(float(x), float(y)) for x, y in re.findall(r"([\d.]+),([\d.]+)", drawn.line)]
    assert len(points) == len(heights)
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
    assert drawn.up[0].at == HEIGHT
    assert drawn.up[-1].at == 0
    assert 2 <= len(drawn.up) <= 7


@pytest.mark.parametrize("points", [[], [(0.0, 1.0)], [(5.0, 1.0), (5.0, 2.0)]])
def test_a_curve_without_a_stretch_of_time_is_not_drawn(points: list[tuple[float, float]]) -> None:
    assert curve(points, format_duration, format_size) is None


def test_the_smallest_part_is_visible_and_the_bar_is_full() -> None:
    parts = stacked([("match", 1), ("undetermined", 0), ("no-match", 10_000_000)])
    assert [part.name for part in parts] == ["match", "no-match"]
    assert parts[0].width > 0.3
    assert sum(part.width for part in parts) == pytest.approx(100)
    assert stacked([("match", 0)]) == ()


def test_nothing_has_no_bar() -> None:
    assert bar(0, 10) == 0
    assert bar(10, 10) == 100
    assert bar(1, 10**9) > 0
