"""What passes between scanner and courier: what goes in comes out, and nothing else goes in."""

from __future__ import annotations

import json
import math
import random
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashwacht.core.notice import MAX_NOTICE_CHARS, Notice, NoticeKind
from hashwacht.core.types import Diagnostic, Reason
from hashwacht.ipc.codec import MAX_LINE_LENGTH
from hashwacht.ipc.frames import HEADER, MAX_BODY, VERSION, ProtocolError, pack_frame, parse_header
from hashwacht.ipc.message_codec import decode_reply, decode_request, encode_reply, encode_request
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
    NoticeEnvelope,
    ServiceHit,
    SignalLookupReply,
    SignalLookupRequest,
    SignalReply,
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
heard = st.one_of(
    st.builds(SignalReply, st.lists(hits, max_size=MAX_HITS).map(tuple)),
    st.builds(SignalReply, st.just(()), st.sampled_from(Reason), words),
)


@st.composite
def exchanges(draw: st.DrawFn) -> tuple[CourierRequest, CourierReply]:
    """Any request with any reply that an honest courier may give."""
    request = draw(requests)
    reply: st.SearchStrategy[CourierReply]
    match request:
        case SignalLookupRequest(_, signals):
            said = st.lists(heard, min_size=len(signals), max_size=len(signals))
            reply = st.builds(SignalLookupReply, hexadecimal(64), said.map(tuple))
        case CheckRequest():
            reply = st.builds(CheckReply, st.builds(Diagnostic, words, st.booleans(), words, words))
        case DescribeRequest():
            many = st.lists(names, max_size=5).map(tuple)
            reply = st.builds(DescribeReply, many, many)
        case DeliverRequest():
            reply = st.builds(DeliverReply, words)
    return request, draw(st.one_of(reply, st.builds(FailureReply, words, words)))


@settings(max_examples=100, deadline=None)
@given(exchanges())
def test_what_goes_in_comes_out(exchange: tuple[CourierRequest, CourierReply]) -> None:
    request, reply = exchange
    assert decode_request(encode_request(request)) == request
    assert decode_reply(encode_reply(reply), request) == reply


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=200), requests.map(encode_request)), st.randoms())
def test_any_bytes_are_a_message_or_nonsense(body: bytes, chance: random.Random) -> None:
    """Also messages in which a byte is wrong."""
    damaged = bytearray(body)
    if damaged:
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
    for each in (body, bytes(damaged)):
        try:
            request = decode_request(each)
        except ProtocolError:
            continue
        assert decode_request(encode_request(request)) == request


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), requests)
def test_any_bytes_are_a_reply_or_nonsense(body: bytes, request: CourierRequest) -> None:
    with suppress(ProtocolError):
        decode_reply(body, request)


SIGNAL = ["md5", "0" * 32]
NOTICE = [TOKEN, "case", 1.0, "a match", "", 0]
REFUSED: dict[str, object] = {
    "another word": ["open", "/etc/passwd"],
    "no array": {"ask": "eokm"},
    "a field too many": ["ask", "eokm", [SIGNAL], "more"],
    "a field too many in a signal": ["ask", "eokm", [[*SIGNAL, "variant"]]],
    "a field too few": ["ask", "eokm"],
    "no signal": ["ask", "eokm", []],
    "too many signals": ["ask", "eokm", [["md5", f"{n:032x}"] for n in range(MAX_SIGNALS + 1)]],
    "a signal twice": ["ask", "eokm", [SIGNAL, SIGNAL]],
    "a matcher that is a path": ["ask", "../eokm", [SIGNAL]],
    "a value too long for its type": ["ask", "eokm", [["md5", "0" * 33]]],
    "a value too short for its type": ["ask", "eokm", [["pdq", "0" * 32]]],
    "a value in capitals": ["ask", "eokm", [["md5", "A" * 32]]],
    "a value that is no hash": ["ask", "eokm", [["photodna", "Dear-diary"]]],
    "a value that is a sentence": ["ask", "eokm", [["photodna", "dear diary"]]],
    "an endless value": ["ask", "eokm", [["photodna", "ab" * 3000]]],
    "a type that is no name": ["ask", "eokm", [["MD5", "0" * 32]]],
    "a value that is a number": ["ask", "eokm", [["md5", 10**31]]],
    "no notice": ["deliver", "mail", TOKEN, []],
    "too many notices": ["deliver", "mail", TOKEN, [NOTICE] * 65],
    "a batch without a proper name": ["deliver", "mail", "batch", [NOTICE]],
    "a notice of an unknown kind": ["deliver", "mail", TOKEN, [[TOKEN, "gossip", *NOTICE[2:]]]],
    "a summary of two lines": ["deliver", "mail", TOKEN, [[*NOTICE[:3], "a\nBcc: b", "", 0]]],
    "a case that is no JSON": ["deliver", "mail", TOKEN, [[*NOTICE[:4], "\x89PNG", 0]]],
    "a case too long": [
        *("deliver", "mail", TOKEN),
        [[*NOTICE[:4], json.dumps({"x": "y" * MAX_NOTICE_CHARS}), 0]],
    ],
    "a notice from no time": ["deliver", "mail", TOKEN, [[TOKEN, "case", None, "a", "", 0]]],
    "a negative number": ["deliver", "mail", TOKEN, [[*NOTICE[:5], -1]]],
    "true as a number": ["deliver", "mail", TOKEN, [[*NOTICE[:5], True]]],
    "endless time": ["deliver", "mail", TOKEN, [[TOKEN, "case", math.inf, "a", "", 0]]],
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_scanner_cannot_say(name: str) -> None:
    with pytest.raises(ProtocolError):
        decode_request(json.dumps(REFUSED[name]).encode())


def test_deep_nesting_is_nonsense() -> None:
    with pytest.raises(ProtocolError):
        decode_request(b"[" * 100_000)


ASKED = SignalLookupRequest("eokm", (("md5", "0" * 32),))
MISPLACED: dict[str, tuple[CourierRequest, object]] = {
    "more answers than questions": (ASKED, ["answers", REVISION, [[], []]]),
    "no answer": (ASKED, ["answers", REVISION, []]),
    "a reason that is none": (ASKED, ["answers", REVISION, [["tired", ""]]]),
    "a distance below zero": (ASKED, ["answers", REVISION, [[["csam", -1, "", ""]]]]),
    "too many hits": (ASKED, ["answers", REVISION, [[["csam", 0, "", ""]] * 17]]),
    "an answer to another word": (DescribeRequest(), ["delivered", ""]),
    "a finding that is neither": (CheckRequest("eokm"), ["checked", "eokm", "yes", "", ""]),
    "control characters": (CheckRequest("eokm"), ["failed", "a\x1b[31m", ""]),
}


@pytest.mark.parametrize("name", MISPLACED)
def test_a_courier_cannot_say(name: str) -> None:
    request, reply = MISPLACED[name]
    with pytest.raises(ProtocolError):
        decode_reply(json.dumps(reply).encode(), request)


def test_what_a_service_says_is_made_to_fit() -> None:
    """A service may name its entries as it likes; that must not end the connection."""
    odd = ServiceHit("csam", 10**30, "list\n" * 100, "\x00" * 999)
    request = SignalLookupRequest("hma", tuple(("md5", f"{n:032x}") for n in range(MAX_SIGNALS)))
    reply = SignalLookupReply(REVISION, (SignalReply((odd,) * 99),) * MAX_SIGNALS)
    body = encode_reply(reply)
    assert len(body) <= MAX_BODY
    told = decode_reply(body, request)
    assert isinstance(told, SignalLookupReply)
    assert all(each.hits for each in told.heard)


def test_a_frame_of_another_version_or_length_is_nonsense() -> None:
    assert parse_header(pack_frame(7, b"body")[: HEADER.size]) == (7, 4)
    for head in (HEADER.pack(VERSION + 1, 1, 1), HEADER.pack(VERSION, 1, MAX_BODY + 1), b"\1" * 12):
        with pytest.raises(ProtocolError):
            parse_header(head)
    with pytest.raises(ValueError, match="a message of"):
        pack_frame(1, bytes(MAX_BODY + 1))
