"""Messages about uploads: they come back as they went, and everything else is nonsense."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from hashwacht import CheckResult, Match, Outcome, Reason, Signal, UploadContext, Verdict
from hashwacht.ipc.frames import MAX_BODY, ProtocolError
from hashwacht.uploads.protocol import (
    UploadCheckRequest,
    UploadRequest,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
)

TEXT = st.text(st.characters(exclude_categories=()), max_size=40)
TOLD = st.builds(
    UploadContext,
    received_at=st.datetimes(timezones=st.timezones()).map(lambda at: at.isoformat()),
    address=TEXT,
    port=st.none() | st.integers(0, 65_535),
    user=TEXT,
    path=TEXT,
    field=TEXT,
    file_name=TEXT,
    declared_type=TEXT,
    submitter_uid=st.none(),
)


@given(st.builds(UploadCheckRequest, st.booleans(), st.none() | TOLD))
def test_what_a_request_told_arrives_as_it_was(request: UploadRequest) -> None:
    assert decode_request(encode_request(request)) == request


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_nonsense(body: bytes) -> None:
    for decode in (decode_request, decode_reply):
        with suppress(ProtocolError):
            decode(body)


def test_a_verdict_arrives_as_it_was_and_one_with_endless_matches_still_fits() -> None:
    match = Match("list", Signal("pdq", "0" * 64, 100, "rotate90/quick"), 4, "csam", "ä", "7")
    verdict = Verdict(Outcome.MATCH, (match,), Reason.UNANSWERED, "x", (match,), (match,))
    checked = CheckResult(verdict, "a" * 64, "image/svg+xml", 1 << 40, recorded=True)
    assert decode_reply(encode_reply(checked)) == checked
    long = Match("m", Signal("t", "~" * 1024), None, "\x80" * 999, "ü" * 999, "\U0001f600" * 999)
    many = Verdict(Outcome.MATCH, (long,) * 999, None, "", (long,) * 999, (long,) * 999)
    assert len(encode_reply(CheckResult(many))) <= MAX_BODY
