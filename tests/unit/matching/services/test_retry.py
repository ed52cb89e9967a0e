from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashwacht.matching.services.retry import RetryPolicy, retry_after

NOW = 1_800_000_000.0


@given(st.integers(1, 10_000))
def test_delay_is_random_up_to_a_doubling_maximum(attempt: int) -> None:
    retries = RetryPolicy(first_delay=0.5, max_delay=30.0)
    ceiling = min(30.0, 0.5 * 2 ** min(attempt - 1, 20))
    assert 0 <= retries.delay(attempt) <= ceiling


def test_pauses_differ_so_that_clients_do_not_come_back_together() -> None:
    assert len({RetryPolicy().delay(4) for _ in range(20)}) > 10


@given(st.integers(1, 100), st.floats(0, 1e6))
def test_a_pause_is_never_shorter_than_the_service_asks(attempt: int, wait: float) -> None:
    assert RetryPolicy().delay(attempt, wait) >= wait


@given(st.integers(0, 10**9))
def test_retry_after_in_seconds_is_read(seconds: int) -> None:
    assert retry_after(f" {seconds} ", NOW) == seconds


@given(st.integers(-(10**6), 10**6))
def test_retry_after_as_a_date_is_relative_and_never_negative(offset: int) -> None:
    assert retry_after(formatdate(NOW + offset, usegmt=True), NOW) == max(0, offset)


@pytest.mark.parametrize(
    "value", [None, "", "soon", "-1", "1.5", "٣", "Fri, 99 Foo 2020 99:99:99 GMT", "1" * 3 + "s"]
)
def test_a_senseless_retry_after_is_none(value: str | None) -> None:
    assert retry_after(value, NOW) is None


@given(st.text(max_size=60))
def test_no_header_value_raises(value: str) -> None:
    wait = retry_after(value, NOW)
    assert wait is None or wait >= 0
