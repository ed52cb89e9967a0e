"""Messages between scanner and courier: they survive encoding, and invalid ones are refused."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashwacht.core.notice import MAX_NOTICE_CHARS, Notice, NoticeKind
from hashwacht.core.types import Diagnostic, Reason
from hashwacht.ipc.codec import (
    HEADER,
    MAX_BODY,
    MAX_LINE_LENGTH,
    VERSION,
    FrameSplitter,
    ProtocolError,
    encode,
    pack_frame,
    parse_header,
)
from hashwacht.ipc.messages import (
    MAX_HITS,
    MAX_SIGNALS,
    CheckReply,
    CheckRequest,
    CourierReply,
    CourierRequest,
    DeliverReply,
    DeliverRequest,
    DescribeReply,
    DescribeRequest,
    FailureReply,
    FileRole,
    ListPartReply,
    ListPartRequest,
    NoticeEnvelope,
    ServiceHit,
    SignalLookupReply,
    SignalLookupRequest,
    SignalReply,
    decode_reply,
    decode_request,
    encode_reply,
    revision_digest,
)

DIGITS = {"md5": 32, "sha1": 40, "pdq": 64, "photodna": 288}
TOKEN = "0123456789abcdef" * 2
REVISION = revision_digest("eokm/1 https://example.org")

names = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,63}", fullmatch=True)
words = st.text(st.characters(categories=("L", "N", "P"), codec="utf-8"), max_size=MAX_LINE_LENGTH)
short = st.text(st.characters(categories=("L", "N", "P"), codec="utf-8"), max_size=128)


def hexadecimal(digits: int) -> st.SearchStrategy[str]:
    return st.text("0123456789abcdef", min_size=digits, max_size=digits)


tokens = hexadecimal(32)
keys = st.sampled_from(sorted(DIGITS)).flatmap(
    lambda kind: st.tuples(st.just(kind), hexadecimal(DIGITS[kind]))
)
cases = st.one_of(
    st.just(""),
    st.dictionaries(short, st.one_of(st.integers(-9, 9), short, st.none()), max_size=4).map(
        json.dumps
    ),
)
notices = st.builds(
    Notice,
    kind=st.sampled_from(NoticeKind),
    at=st.floats(allow_nan=False, allow_infinity=False),
    summary=words,
    case=cases,
)
requests: st.SearchStrategy[CourierRequest] = st.one_of(
    st.builds(
        SignalLookupRequest,
        names,
        st.lists(keys, min_size=1, max_size=MAX_SIGNALS, unique=True).map(tuple),
    ),
    st.builds(CheckRequest, names),
    st.just(DescribeRequest()),
    st.builds(ListPartRequest, names, st.sampled_from(FileRole), st.integers(0, 1 << 39)),
    st.builds(
        DeliverRequest,
        names,
        tokens,
        st.lists(
            st.builds(NoticeEnvelope, tokens, notices, st.integers(0, 1 << 40)),
            min_size=1,
            max_size=5,
        ).map(tuple),
    ),
)
hits = st.builds(
    ServiceHit,
    category=st.from_regex(r"[a-z0-9-]{1,64}", fullmatch=True),
    distance=st.one_of(st.none(), st.integers(0, 256)),
    list=short,
    id=short,
)
replies = st.one_of(
    st.builds(SignalReply, st.lists(hits, max_size=MAX_HITS).map(tuple)),
    st.builds(SignalReply, st.just(()), st.sampled_from(Reason), words),
)


@st.composite
def exchanges(draw: st.DrawFn) -> tuple[CourierRequest, CourierReply]:
    """Generate any request with any reply that an honest courier may send."""
    request = draw(requests)
    reply: st.SearchStrategy[CourierReply]
    match request:
        case SignalLookupRequest(_, signals):
            search_strategy = st.lists(replies, min_size=len(signals), max_size=len(signals))
            reply = st.builds(SignalLookupReply, hexadecimal(64), search_strategy.map(tuple))
        case CheckRequest():
            reply = st.builds(CheckReply, st.builds(Diagnostic, words, st.booleans(), words, words))
        case DescribeRequest():
            many = st.lists(names, max_size=5).map(tuple)
            reply = st.builds(DescribeReply, many, many, many)
        case ListPartRequest():
            reply = st.builds(ListPartReply, st.binary(max_size=300), st.booleans())
        case DeliverRequest():
            reply = st.builds(DeliverReply, words)
    return request, draw(st.one_of(reply, st.builds(FailureReply, words, words)))


@settings(max_examples=100, deadline=None)
@given(exchanges())
def test_messages_survive_encoding(exchange: tuple[CourierRequest, CourierReply]) -> None:
    request, reply = exchange
    assert decode_request(encode(request)) == request
    assert decode_reply(encode_reply(reply), request) == reply


def damaged(body: bytes, position: int, byte: int) -> bytes:
    """Return *body* with one byte replaced, as a fault or an attacker would."""
    if not body:
        return body
    at = position % len(body)
    return body[:at] + bytes([byte]) + body[at + 1 :]


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(st.binary(max_size=200), requests.map(encode)), st.integers(0), st.integers(0, 255)
)
def test_other_bytes_are_refused_or_canonical(body: bytes, position: int, byte: int) -> None:
    for candidate in (body, damaged(body, position, byte)):
        with suppress(ProtocolError):
            assert encode(decode_request(candidate)) == candidate


@settings(max_examples=200, deadline=None)
@given(exchanges(), st.binary(max_size=200), st.integers(0), st.integers(0, 255))
def test_other_bytes_of_a_courier_are_refused_or_canonical(
    exchange: tuple[CourierRequest, CourierReply], body: bytes, position: int, byte: int
) -> None:
    request, reply = exchange
    for candidate in (body, damaged(encode_reply(reply), position, byte)):
        with suppress(ProtocolError):
            assert encode(decode_reply(candidate, request)) == candidate


SIGNAL = ["md5", "0" * 32]
HEAD = f"7:{'ab' * 32}"
NOTICE: dict[str, Any] = {"kind": "case", "at": 1.0, "summary": "a match", "case": ""}


def lookup(*signals: object) -> list[object]:
    return ["ask", "eokm", [*signals]]


def delivery(left_out: object = 0, **changes: object) -> list[object]:
    return ["deliver", "mail", TOKEN, [[TOKEN, NOTICE | changes, left_out]], HEAD]


VALID: dict[str, object] = {
    "a lookup": lookup(SIGNAL, ["pdq", "0" * 64]),
    "a check": ["check", "eokm"],
    "a heartbeat": ["describe"],
    "a delivery": delivery(7, case="{}"),
}
REFUSED: dict[str, object] = {
    "an unknown tag": ["open", "/etc/passwd"],
    "an object": {"ask": "eokm"},
    "a number": 7,
    "a field too many": [*lookup(SIGNAL), "more"],
    "a field too many in a signal": lookup([*SIGNAL, "variant"]),
    "a field too few": ["ask", "eokm"],
    "no signal": lookup(),
    "too many signals": lookup(*(["md5", f"{n:032x}"] for n in range(MAX_SIGNALS + 1))),
    "a signal twice": lookup(SIGNAL, SIGNAL),
    "a matcher that is a path": ["ask", "../eokm", [SIGNAL]],
    "a matcher with a line feed": ["ask", "eokm\n", [SIGNAL]],
    "a value too long for its type": lookup(["md5", "0" * 33]),
    "a value too short for its type": lookup(["pdq", "0" * 32]),
    "a value in capitals": lookup(["md5", "A" * 32]),
    "a value that is not a hash": lookup(["photodna", "Dear-diary"]),
    "a value that is a sentence": lookup(["photodna", "dear diary"]),
    "an endless value": lookup(["photodna", "ab" * 3000]),
    "a type in capitals": lookup(["MD5", "0" * 32]),
    "a value that is a number": lookup(["md5", 10**15]),
    "no notice": ["deliver", "mail", TOKEN, [], HEAD],
    "too many notices": ["deliver", "mail", TOKEN, [[TOKEN, NOTICE, 0]] * 65, HEAD],
    "a batch without a proper name": ["deliver", "mail", "batch", [[TOKEN, NOTICE, 0]], HEAD],
    "a checkpoint without a hash": ["deliver", "mail", TOKEN, [[TOKEN, NOTICE, 0]], "7:abc"],
    "a notice of an unknown kind": delivery(kind="gossip"),
    "a notice with a field too many": delivery(picture="\x89PNG"),
    "a summary of two lines": delivery(summary="a\nBcc: b"),
    "a case that is not JSON": delivery(case="\x89PNG"),
    "a case too long": delivery(case=json.dumps({"x": "y" * MAX_NOTICE_CHARS})),
    "a notice without a time": delivery(at=None),
    "an integer as time": delivery(at=1),
    "a negative number": delivery(-1),
    "true as a number": delivery(True),
}


@pytest.mark.parametrize("name", VALID)
def test_a_valid_request(name: str) -> None:
    assert encode(decode_request(encode(VALID[name]))) == encode(VALID[name])


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_request(name: str) -> None:
    with pytest.raises(ProtocolError):
        decode_request(encode(REFUSED[name]))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[" * 100_000, id="deep nesting"),
        pytest.param(b'[ "describe"]', id="white space"),
        pytest.param(b'["describe"]\n', id="trailing byte"),
        pytest.param(b'["d\\u0065scribe"]', id="escape"),
        pytest.param(b'["\xff"]', id="not UTF-8"),
        pytest.param(encode(delivery()).replace(b"1.0", b"Infinity"), id="infinite"),
        pytest.param(encode(delivery()).replace(b"1.0", b"NaN"), id="not a number"),
        pytest.param(encode(delivery()).replace(b"1.0", b"1e999"), id="out of range"),
        pytest.param(
            encode(delivery()).replace(b'"at":1.0', b'"at":1.0,"at":1.0'), id="a key twice"
        ),
    ],
)
def test_a_refused_spelling(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_request(body)


LOOKUP = SignalLookupRequest("eokm", (("md5", "0" * 32),))
HIT: list[object] = ["csam", 0, "", ""]
DIAGNOSTIC: dict[str, object] = {"subject": "eokm", "ok": True, "detail": "", "advice": ""}


def lookup_reply(hits: object = (), reason: object = None, detail: object = "") -> list[object]:
    return ["answers", REVISION, [[hits, reason, detail]]]


VALID_REPLIES: dict[str, tuple[CourierRequest, object]] = {
    "a hit": (LOOKUP, lookup_reply([HIT, ["csam", None, "list", "id"]])),
    "no hit": (LOOKUP, lookup_reply()),
    "a reason": (LOOKUP, lookup_reply([], "unanswered", "why")),
    "a failure": (LOOKUP, ["failed", "why", "what to do"]),
    "a diagnostic": (CheckRequest("eokm"), ["checked", DIAGNOSTIC]),
}
REFUSED_REPLIES: dict[str, tuple[CourierRequest, object]] = {
    "more answers than signals": (LOOKUP, ["answers", REVISION, [[[], None, ""]] * 2]),
    "no answer": (LOOKUP, ["answers", REVISION, []]),
    "an unknown reason": (LOOKUP, lookup_reply([], "tired")),
    "a hit and a reason": (LOOKUP, lookup_reply([HIT], "unanswered")),
    "a detail without a reason": (LOOKUP, lookup_reply([], None, "why")),
    "a negative distance": (LOOKUP, lookup_reply([["csam", -1, "", ""]])),
    "a huge distance": (LOOKUP, lookup_reply([["csam", 1 << 16, "", ""]])),
    "a category in capitals": (LOOKUP, lookup_reply([["CSAM", 0, "", ""]])),
    "too many hits": (LOOKUP, lookup_reply([HIT] * 17)),
    "a name too long": (LOOKUP, lookup_reply([["csam", 0, "", "x" * 129]])),
    "a revision that is text": (LOOKUP, ["answers", "revision", [[[], None, ""]]]),
    "a reply to another request": (DescribeRequest(), ["delivered", ""]),
    "an outcome that is a word": (
        CheckRequest("eokm"),
        ["checked", DIAGNOSTIC | {"ok": "yes"}],
    ),
    "control characters": (CheckRequest("eokm"), ["failed", "a\x1b[31m", ""]),
    "control characters in a finding": (
        CheckRequest("eokm"),
        ["checked", DIAGNOSTIC | {"detail": "\x1b[31m"}],
    ),
    "a long line": (CheckRequest("eokm"), ["failed", "a" * (MAX_LINE_LENGTH + 1), ""]),
    "too many names": (DescribeRequest(), ["described", ["m"] * 257, []]),
}


@pytest.mark.parametrize("name", VALID_REPLIES)
def test_a_valid_reply(name: str) -> None:
    request, fields = VALID_REPLIES[name]
    assert encode(decode_reply(encode(fields), request)) == encode(fields)


@pytest.mark.parametrize("name", REFUSED_REPLIES)
def test_a_refused_reply(name: str) -> None:
    request, fields = REFUSED_REPLIES[name]
    with pytest.raises(ProtocolError):
        decode_reply(encode(fields), request)


def test_text_of_a_service_is_made_to_fit() -> None:
    """A service chooses the names of its entries; no name may end the connection."""
    odd = ServiceHit("csam", 10**30, "list\n" * 100, "\x00" * 999)
    request = SignalLookupRequest("hma", tuple(("md5", f"{n:032x}") for n in range(MAX_SIGNALS)))
    reply = SignalLookupReply(REVISION, (SignalReply((odd,) * 99),) * MAX_SIGNALS)
    body = encode_reply(reply)
    assert len(body) <= MAX_BODY
    decoded = decode_reply(body, request)
    assert isinstance(decoded, SignalLookupReply)
    assert all(signal_reply.hits for signal_reply in decoded.replies)


def test_a_frame_of_another_version_or_length_is_refused() -> None:
    assert parse_header(pack_frame(7, b"body")[: HEADER.size]) == (7, 4)
    for header in (
        HEADER.pack(VERSION + 1, 1, 1),
        HEADER.pack(VERSION, 1, MAX_BODY + 1),
        b"\1" * HEADER.size,
    ):
        with pytest.raises(ProtocolError):
            parse_header(header)
    with pytest.raises(ValueError, match="too long"):
        pack_frame(1, bytes(MAX_BODY + 1))


@given(st.lists(st.tuples(st.integers(0, 1 << 31), st.binary(max_size=40))), st.integers(1, 50))
def test_frames_arrive_in_any_pieces(messages: list[tuple[int, bytes]], step: int) -> None:
    stream = b"".join(pack_frame(*message) for message in messages)
    splitter = FrameSplitter()
    pieces = [stream[at : at + step] for at in range(0, len(stream), step)]
    assert [message for piece in pieces for message in splitter.feed(piece)] == messages


def test_a_body_that_is_too_long_is_refused_by_its_header() -> None:
    header = pack_frame(0, bytes(11))[: HEADER.size]
    assert not list(FrameSplitter(11).feed(header))
    with pytest.raises(ProtocolError):
        list(FrameSplitter(10).feed(header))
