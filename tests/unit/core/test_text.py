"""Text that is safe to print, and formatted figures."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hashwacht.core.text import (
    count,
    escape_text,
    format_age,
    format_duration,
    format_size,
    format_time,
    json_line,
    nearest,
    percentage,
    plural,
    replace_unprintable,
    truncate,
)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (150 << 20, "150 MiB"),
        (3 << 60, "3072 PiB"),
    ],
)
def test_a_size_is_written_in_a_unit_that_leaves_few_digits(number: int, text: str) -> None:
    assert format_size(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.85, "850ms"),
        (12.34, "12.3s"),
        (65, "1m 05s"),
        (3599.6, "1h 00m"),
        (97200, "1d 03h"),
    ],
)
def test_a_span_of_time_is_written_with_two_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_a_share_is_none_or_all_only_if_it_is() -> None:
    assert percentage(0, 10) == "0 %"
    assert percentage(10, 10) == "100 %"
    assert percentage(1, 10**6) == "<0.1 %"
    assert percentage(10**6 - 1, 10**6) == ">99.9 %"
    assert percentage(1, 3) == "33.3 %"
    assert percentage(0, 0) == "0 %"


def test_one_is_one_and_more_are_many() -> None:
    assert plural(1, "file") == "1 file"
    assert plural(1200, "file") == "1,200 files"
    assert plural(2, "match", "matches") == "2 matches"
    assert count(1234567) == "1,234,567"


def test_a_moment_names_its_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC-2")
    time.tzset()
    try:
        assert format_time(0) == "1970-01-01 02:00:00 +0200"
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain ü", "plain ü"),
        ("a\nb\x1b[31m", "a\\x0ab\\x1b[31m"),
        ("\udcff", "\\xff"),
        ("\ud800", "\\xed\\xa0\\x80"),
        ("\u202e", "\\xe2\\x80\\xae"),
    ],
)
def test_unprintable_characters_are_escaped_as_bytes(text: str, escaped: str) -> None:
    assert escape_text(text) == escaped
    assert replace_unprintable(text, "?").isprintable()
    assert len(replace_unprintable(text, "?")) == len(text)


def test_a_long_text_ends_with_an_ellipsis() -> None:
    assert truncate("abc", 3) == "abc"
    assert truncate("abcd", 3) == "ab…"


@pytest.mark.parametrize(
    ("seconds", "age"), [(0, "0 s ago"), (119, "119 s ago"), (120, "2 min ago"), (7200, "2 h ago")]
)
def test_an_age_has_its_largest_unit(seconds: int, age: str) -> None:
    assert format_age(1000.0, 1000.0 + seconds) == age
    assert format_age(None, 1000.0) == "never"


UNPRINTABLE = "\x7f\x85\u2028\u2029\u202e\u2066\ufeff\ud800\U000e0001\n\x1b"


@given(st.text() | st.text(UNPRINTABLE, max_size=8))
@example("\ud83d")
def test_json_is_printable_and_reads_back(text: str) -> None:
    value = {text: [text, 1, None]}
    line = json_line(value)
    assert line.isprintable()
    assert json.loads(line) == value


@pytest.mark.parametrize(
    ("word", "options", "expected"),
    [
        ("lsit", ["limits", "list", "lists"], "list"),
        ("--staet", ["--state", "--since", "--state-dir"], "--state"),
        ("scna", ["scan", "scans"], "scan"),
        ("scasn", ["scan", "scans"], "scan"),
        ("tineout", ["timeout", "retries"], "timeout"),
        ("show", ["list", "verify"], ""),
        ("", ["list"], ""),
        ("list", [], ""),
    ],
)
def test_the_nearest_option_has_the_fewest_typing_errors(
    word: str, options: list[str], expected: str
) -> None:
    assert nearest(word, options) == expected


@given(st.text("abcde-", min_size=4, max_size=12), st.data())
def test_one_typing_error_is_nearest_to_what_was_meant(word: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(word) - 2))
    exchanged = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    assert nearest(exchanged, ["x" * len(word), word, word + "yyy"]) == word
