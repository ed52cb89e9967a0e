"""The share of unchanged directories that each walk reads again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hashwacht.engine.rereads import RereadSchedule

PERIOD = 30 * 86400.0
pauses = st.lists(st.floats(1.0, PERIOD), min_size=1, max_size=60)


@given(st.binary(min_size=1), pauses, st.floats(0, 2e9))
def test_every_directory_is_read_in_any_period(
    path: bytes, seconds: list[float], began: float
) -> None:
    """However irregular the walks are: never more than a period without the one that reads it."""
    last_read, since = began, began
    for pause in [*seconds, PERIOD]:
        now = since + pause
        if RereadSchedule(PERIOD, since, now, b"salt").is_due(path):
            last_read = now
        assert since - last_read <= PERIOD
        since = now


def test_a_walk_reads_a_share_as_large_as_the_time_that_passed() -> None:
    paths = [b"/srv/%d" % number for number in range(20_000)]
    day = RereadSchedule(PERIOD, 1e9, 1e9 + 86400, b"salt")
    due = {path for path in paths if day.is_due(path)}
    assert 500 < len(due) < 850
    others = {path for path in paths if RereadSchedule(PERIOD, 1e9, 1e9 + 86400).is_due(path)}
    assert len(due & others) < 100, "the share cannot be known without the salt"


def test_nothing_is_due_without_a_period_or_an_earlier_walk() -> None:
    assert not RereadSchedule(0.0, 0.0, 1e9).is_due(b"/srv")
    assert not RereadSchedule(PERIOD, 1e9, 1e9).is_due(b"/srv")
    assert RereadSchedule(PERIOD, 1e9 - PERIOD, 1e9).is_due(b"/srv")
