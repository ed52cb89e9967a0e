"""The displayed rates and remaining time of a run."""

from __future__ import annotations

import pytest

from hashwacht.scan.progress import Meter, Phase, Progress, RunCounts
from support.clock import Clock


def run(meter: Meter, clock: Clock, seconds: int, rate: int, begun: int = 0) -> Progress:
    """Simulate a steady run, observed ten times a second."""
    text = None
    for tick in range(1, seconds * 10 + 1):
        clock.now += 0.1
        files = begun + rate * tick // 10
        text = meter.snapshot(RunCounts(files=files, bytes=files * 1000), Phase.WALKING, b"/srv")
    assert text is not None
    return text


def test_an_even_run_shows_its_rate_from_the_first_second() -> None:
    clock = Clock()
    progress = run(Meter(clock), clock, 1, 200)
    assert progress.files_rate == pytest.approx(200, rel=0.01)
    assert progress.bytes_rate == pytest.approx(200_000, rel=0.01)
    assert progress.elapsed == pytest.approx(1)
    assert progress.directory == b"/srv"


def test_a_rate_follows_a_change_within_half_a_minute() -> None:
    clock = Clock()
    meter = Meter(clock)
    run(meter, clock, 60, 200)
    assert run(meter, clock, 1, 1000, begun=12_000).files_rate < 400
    assert run(meter, clock, 30, 1000, begun=13_000).files_rate > 900


def test_the_time_left_is_estimated_by_the_whole_run_so_far() -> None:
    clock = Clock()
    progress = run(Meter(clock, expected=3000), clock, 10, 100)
    assert progress.expected == 3000
    assert progress.remaining == pytest.approx(20, rel=0.01)


@pytest.mark.parametrize("expected", [None, 0, 500])
def test_no_remaining_time_without_a_usable_previous_count(expected: int | None) -> None:
    clock = Clock()
    assert run(Meter(clock, expected), clock, 10, 100).remaining is None


def test_a_moment_later_without_time_passing_changes_no_rate() -> None:
    clock = Clock()
    meter = Meter(clock)
    before = run(meter, clock, 2, 100)
    after = meter.snapshot(before.counts, Phase.ASKING)
    assert after.files_rate == before.files_rate
