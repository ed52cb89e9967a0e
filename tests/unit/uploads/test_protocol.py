"""Messages about uploads: they survive encoding, and invalid ones are refused."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashwacht import CheckResult, Match, Outcome, Reason, Signal, UploadContext, Verdict
from hashwacht.core.upload_context import MAX_TEXT_CHARACTERS
from hashwacht.ipc.codec import MAX_BODY, ProtocolError, encode
from hashwacht.uploads.protocol import (
    MAX_REQUEST_SIZE,
    AcceptedReply,
    DescribeDaemonReply,
    DescribeDaemonRequest,
    PartialUploadsRequest,
    UploadCheckReply,
    UploadCheckRequest,
    UploadFailureReply,
    decode_reply,
    decode_request,
)
from hashwacht.uploads.wire import WireContext

TEXT = st.text(st.characters(exclude_categories=()), max_size=40)
CONTEXTS = st.builds(
    UploadContext,
    received_at=st.datetimes(timezones=st.timezones()).map(lambda at: at.isoformat()),
    address=TEXT,
    port=st.none() | st.integers(0, 65_535),
    user=TEXT,
    path=TEXT,
    field=TEXT,
    file_name=TEXT,
    declared_type=TEXT,
    submitter_uid=st.none() | st.integers(0, (1 << 32) - 1),
    event=st.from_regex(r"\A([0-9a-f]{8})?\Z"),
)
MATCH = Match("list", Signal("pdq", "0" * 64, 100, "rotate90/quick"), 4, "csam", "ä", "7")
VERDICT = Verdict(Outcome.MATCH, (MATCH,), Reason.UNANSWERED, "x", (MATCH,), (MATCH,))
RESULT = CheckResult(VERDICT, "a" * 64, "image/svg+xml", 1 << 40, recorded=True)


def check_request(context: UploadContext | None, *, private: bool = True) -> UploadCheckRequest:
    return UploadCheckRequest(
        private, None if context is None else WireContext.from_context(context)
    )


@given(st.none() | CONTEXTS, st.booleans())
def test_a_context_survives_encoding(context: UploadContext | None, private: bool) -> None:
    decoded = decode_request(encode(check_request(context, private=private)))
    assert isinstance(decoded, UploadCheckRequest)
    assert (decoded.context, decoded.private) == (context, private)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_refused(body: bytes) -> None:
    for decode in (decode_request, decode_reply):
        with suppress(ProtocolError):
            assert encode(decode(body)) == body


@given(st.none() | CONTEXTS, st.integers(0), st.integers(0, 255))
def test_damaged_requests_are_refused_or_canonical(
    context: UploadContext | None, position: int, byte: int
) -> None:
    body = bytearray(encode(check_request(context)))
    body[position % len(body)] = byte
    with suppress(ProtocolError):
        assert encode(decode_request(bytes(body))) == bytes(body)


@given(st.integers(0), st.integers(0, 255))
def test_damaged_replies_are_refused_or_canonical(position: int, byte: int) -> None:
    body = bytearray(encode(UploadCheckReply.from_result(RESULT)))
    body[position % len(body)] = byte
    with suppress(ProtocolError):
        assert encode(decode_reply(bytes(body))) == bytes(body)


@pytest.mark.parametrize(
    "reply", [AcceptedReply(), DescribeDaemonReply("1.0", 1 << 40), UploadFailureReply("full")]
)
def test_other_replies_survive_encoding(
    reply: AcceptedReply | DescribeDaemonReply | UploadFailureReply,
) -> None:
    assert decode_reply(encode(reply)) == reply


@pytest.mark.parametrize("request_", [DescribeDaemonRequest(), PartialUploadsRequest("tus")])
def test_other_requests_survive_encoding(
    request_: DescribeDaemonRequest | PartialUploadsRequest,
) -> None:
    assert decode_request(encode(request_)) == request_


def test_a_verdict_survives_encoding() -> None:
    reply = decode_reply(encode(UploadCheckReply.from_result(RESULT)))
    assert isinstance(reply, UploadCheckReply)
    assert reply.to_result() == RESULT


def test_a_verdict_with_endless_matches_still_fits() -> None:
    signal, longest = Signal("t", "~" * 1024), "\U0001f600" * 999
    endless = Match("m", signal, None, "\x80" * 999, "ü" * 999, longest, member=longest)
    verdict = Verdict(Outcome.MATCH, (endless,) * 999, None, "", (endless,) * 999, (endless,) * 999)
    assert len(encode(UploadCheckReply.from_result(CheckResult(verdict)))) <= MAX_BODY


def test_overlong_client_texts_are_cut_to_fit_a_request() -> None:
    text = "\U0001f600" * 99_999
    context = UploadContext("2026-11-24T01:00:00+01:00", text, 1, text, text, text, text, text)
    body = encode(check_request(context))
    assert len(body) <= MAX_REQUEST_SIZE
    decoded = decode_request(body)
    assert isinstance(decoded, UploadCheckRequest)
    assert decoded.context is not None
    assert decoded.context.user == text[:MAX_TEXT_CHARACTERS]


CONTEXT = ["2026-11-24T01:00:00Z", "", None, "", "", "", "", "", None, ""]
SIGNAL = ["pdq", "0" * 64, 100, ""]
WIRE_MATCH = ["list", SIGNAL, 4, "csam", "", "", False, ""]
CHECKED = ["checked", "match", None, "", [WIRE_MATCH], [], [], "a" * 64, "image/png", 1, True]


def changed(fields: Sequence[object], position: int, value: object) -> list[object]:
    return [*fields[:position], value, *fields[position + 1 :]]


REFUSED_REQUESTS: dict[str, object] = {
    "an unknown tag": ["open"],
    "no privacy": ["check"],
    "a number as privacy": ["check", 1, None],
    "a context that is text": ["check", True, "context"],
    "a context with a field too few": ["check", True, CONTEXT[:-1]],
    "a context with a field too many": ["check", True, [*CONTEXT, ""]],
    "a time that is none": ["check", True, changed(CONTEXT, 0, "yesterday")],
    "a time without a zone": ["check", True, changed(CONTEXT, 0, "2026-11-24T01:00:00")],
    "an endless time": ["check", True, changed(CONTEXT, 0, "2026-11-24T01:00:00Z" * 99)],
    "a port out of range": ["check", True, changed(CONTEXT, 2, 65_536)],
    "a text that is not Base64": ["check", True, changed(CONTEXT, 3, "user")],
    "a text that is not UTF-8": ["check", True, changed(CONTEXT, 3, b"\xff")],
    "a text that is too long": ["check", True, changed(CONTEXT, 3, b"u" * 1025)],
    "a protocol that is a path": ["partial", "../tus"],
    "a protocol that is too long": ["partial", "t" * 42],
}
REFUSED_REPLIES: dict[str, object] = {
    "an unknown outcome": changed(CHECKED, 1, "clean"),
    "an unknown reason": changed(CHECKED, 2, "tired"),
    "control characters": changed(CHECKED, 3, "\x1b[31m"),
    "too many matches": changed(CHECKED, 4, [WIRE_MATCH] * 65),
    "a matcher that is a path": changed(CHECKED, 4, [changed(WIRE_MATCH, 0, "../list")]),
    "a signal with a field too few": changed(CHECKED, 4, [changed(WIRE_MATCH, 1, SIGNAL[:3])]),
    "a value with spaces": changed(CHECKED, 4, [changed(WIRE_MATCH, 1, changed(SIGNAL, 1, "a b"))]),
    "a quality out of range": changed(
        CHECKED, 4, [changed(WIRE_MATCH, 1, changed(SIGNAL, 2, 101))]
    ),
    "a variant with spaces": changed(
        CHECKED, 4, [changed(WIRE_MATCH, 1, changed(SIGNAL, 3, "a b"))]
    ),
    "a negative distance": changed(CHECKED, 4, [changed(WIRE_MATCH, 2, -1)]),
    "a category of two lines": changed(CHECKED, 4, [changed(WIRE_MATCH, 3, "a\nb")]),
    "a list that is too long": changed(CHECKED, 4, [changed(WIRE_MATCH, 4, "l" * 201)]),
    "a number as known-good": changed(CHECKED, 4, [changed(WIRE_MATCH, 6, 0)]),
    "a key that is too short": changed(CHECKED, 7, "a" * 63),
    "a kind in capitals": changed(CHECKED, 8, "IMAGE"),
    "a negative size": changed(CHECKED, 9, -1),
    "a size that is true": changed(CHECKED, 9, True),
    "a description with a line feed": ["described", "1\n", 1],
    "a failure with a line feed": ["failed", "1\n"],
}


@pytest.mark.parametrize("name", REFUSED_REQUESTS)
def test_a_refused_request(name: str) -> None:
    with pytest.raises(ProtocolError):
        decode_request(encode(REFUSED_REQUESTS[name]))


@pytest.mark.parametrize("name", REFUSED_REPLIES)
def test_a_refused_reply(name: str) -> None:
    with pytest.raises(ProtocolError):
        decode_reply(encode(REFUSED_REPLIES[name]))


def test_what_the_refused_messages_vary_is_accepted() -> None:
    decode_request(encode(["check", True, CONTEXT]))
    decode_reply(encode(CHECKED))
