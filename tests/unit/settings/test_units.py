"""Sizes, durations and rates are parsed as people write them, and survive formatting."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashwacht.settings.units import (
    RateLimit,
    RateUnit,
    duration_to_text,
    parse_duration,
    parse_rate,
    parse_size,
    size_to_text,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64 MiB", 64 << 20),
        ("1.5 GiB", 3 << 29),
        ("2kB", 2000),
        ("512", 512),
        (" 7 b ", 7),
        ("9007199254740993", 9007199254740993),
    ],
)
def test_a_size_is_read_with_decimal_and_binary_units(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1 MiBs", "1 2", "0.3 B", "1e3", "٣ MiB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"size|whole number"):
        parse_size(text)


@given(st.integers(min_value=0, max_value=1 << 60))
def test_every_size_survives_being_shown(size: int) -> None:
    assert parse_size(size_to_text(size)) == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("30s", 30), ("5m", 300), ("1h30m", 5400), ("7d", 604800), ("1.5 h", 5400)],
)
def test_a_duration_is_read_with_its_units(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "7", "d", "7 days", "-1s", "1s x"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@given(st.integers(min_value=0, max_value=10**12))
def test_every_duration_of_milliseconds_round_trips(milliseconds: int) -> None:
    assert parse_duration(duration_to_text(milliseconds / 1000)) == milliseconds / 1000


def test_a_rate_counts_files_or_bytes() -> None:
    assert parse_rate("200 files/s") == RateLimit(200, RateUnit.FILES)
    assert parse_rate("1 file/s") == RateLimit(1, RateUnit.FILES)
    assert parse_rate("20 MiB/s") == RateLimit(20 << 20, RateUnit.BYTES)
    assert parse_rate("") is None


@pytest.mark.parametrize("text", ["20 MiB", "20", "MiB/s", "5 files/m", "0 files/s", "0/s"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="rate"):
        parse_rate(text)


@given(st.builds(RateLimit, st.integers(1, 1 << 50), st.sampled_from(RateUnit)))
def test_every_rate_survives_being_shown(rate: RateLimit) -> None:
    assert parse_rate(str(rate)) == rate
