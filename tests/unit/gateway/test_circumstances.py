"""Circumstances of an upload as headers: what a client encodes, the server decodes."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from hypothesis import given, settings
from hypothesis import strategies as st

from hashwacht.core.upload_context import UploadContext
from hashwacht.gateway.http.circumstances import CLIENT, RECEIVED_AT, USER, context_of, headers_of

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TIMES = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=ZONES)  # noqa: DTZ001
ADDRESSES = st.one_of(st.just(""), st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str))
CONTEXTS = st.builds(
    UploadContext,
    received_at=TIMES.map(lambda time: time.isoformat(timespec="seconds")),
    address=ADDRESSES.filter(lambda text: not text.startswith("::ffff:")),
    port=st.none() | st.integers(1, 65535),
    user=TEXTS,
    path=TEXTS,
    file_name=TEXTS,
    declared_type=st.from_regex(
        r"[a-z]{1,9}/[a-z+.-]{1,9}(; [a-z]+=\"[a-z .]*\")?", fullmatch=True
    ),
).filter(lambda context: bool(context.address) or context.port is None)


@settings(max_examples=40)
@given(CONTEXTS)
def test_headers_of_a_context_are_read_back(context: UploadContext) -> None:
    headers = headers_of(context)
    assert all(value.isascii() and value.isprintable() for value in headers.values())
    assert context_of(headers, None) == context


@given(st.text(max_size=40))
def test_any_client_header_is_an_address_or_an_error(text: str) -> None:
    try:
        context = context_of({CLIENT: text}, 1000)
    except ValueError:
        return
    assert context.address or not text
    assert context.port is None or 0 < context.port < 1 << 16


def test_text_that_is_not_extended_is_kept() -> None:
    assert context_of({USER: "UTF-8''a%20b"}, None).user == "a b"
    assert context_of({USER: "utf-8 rocks"}, None).user == "utf-8 rocks"


def test_time_without_a_header_has_a_zone() -> None:
    for headers in ({}, {RECEIVED_AT: ""}):
        assert datetime.fromisoformat(context_of(headers, None).received_at).tzinfo is not None
