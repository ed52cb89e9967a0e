"""What a worker says is believed only as far as it is well formed."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashwacht.core.signals import BUILT_IN
from hashwacht.core.types import Fingerprint, Reason, Signal, Skip
from hashwacht.hashing import Limits, Plan
from hashwacht.hashing.workers.protocol import (
    MAX_ANSWER,
    MAX_DETAIL,
    InvalidReply,
    PictureResult,
    Reply,
    ReplyDecoder,
    TaskFailure,
    Unreadable,
    encode,
    plan_from_fields,
    plan_to_fields,
)

TYPES = {name: BUILT_IN[name] for name in ("md5", "sha256", "pdq")}
RECIPE = ("md5/1", "sha256/1", "pdq/1")
codec = ReplyDecoder(TYPES, RECIPE)

printable = st.text(st.characters(categories=("L", "N", "P")), max_size=MAX_DETAIL)
reasons = st.sampled_from(Reason)


def hexadecimal(digits: int) -> st.SearchStrategy[str]:
    return st.text("0123456789abcdef", min_size=digits, max_size=digits)


@st.composite
def fingerprints(draw: st.DrawFn) -> Fingerprint:
    """Any fingerprint that an honest worker may give under this plan."""
    key = draw(hexadecimal(64))
    pdqs = draw(
        st.lists(
            st.builds(
                Signal,
                type=st.just("pdq"),
                value=hexadecimal(64),
                quality=st.integers(0, 100),
                variant=st.sampled_from(["", "rotate90", "frame:12", "frame:12,flipx"]),
            ),
            max_size=5,
            unique_by=lambda signal: (signal.value, signal.variant),
        )
    )
    signals = [Signal("md5", draw(hexadecimal(32))), Signal("sha256", key), *pdqs]
    skipped = st.builds(Skip, type=st.just("pdq"), reason=reasons, detail=printable)
    return Fingerprint(
        key=key,
        size=draw(st.integers(0, (1 << 63) - 1)),
        kind=draw(st.sampled_from(["image/jpeg", "inode/x-empty", "application/octet-stream"])),
        recipe=RECIPE,
        signals=tuple(draw(st.permutations(signals))),
        skipped=tuple(draw(st.lists(skipped, min_size=0 if pdqs else 1, max_size=2))),
        damaged=draw(st.booleans()),
    )


replies: st.SearchStrategy[Reply] = st.one_of(
    fingerprints(),
    st.builds(Unreadable, errno=st.integers(0, 4095)),
    st.builds(TaskFailure, reason=reasons, detail=printable),
)


@settings(max_examples=150)
@given(replies)
def test_a_reply_comes_out_as_it_went_in(reply: Reply) -> None:
    assert codec.decode(encode(reply)) == reply


def judge(body: bytes) -> None:
    """Whatever was sent: nonsense, or something that an honest worker could have said."""
    try:
        reply = codec.decode(body)
    except InvalidReply:
        return
    assert codec.decode(encode(reply)) == reply
    if isinstance(reply, Fingerprint):
        named = {s.type for s in reply.signals} | {s.type for s in reply.skipped}
        assert named == TYPES.keys()
        assert all(TYPES[s.type].canonical(s.value) == s.value for s in reply.signals)


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_any_bytes_are_nonsense_or_a_reply(body: bytes) -> None:
    judge(body)


words = st.sampled_from(["fingerprint", "unreadable", "failed", "pdq", "damaged", "a" * 64])
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | words
anything = st.recursive(leaves, lambda inner: st.lists(inner, max_size=5), max_leaves=12)


@settings(max_examples=300)
@given(anything)
def test_any_json_is_nonsense_or_a_reply(value: Any) -> None:
    judge(json.dumps(value).encode())


@settings(max_examples=300)
@given(fingerprints(), st.data())
def test_an_answer_with_one_wrong_place_is_nonsense_or_still_well_formed(
    honest: Fingerprint, data: st.DataObject
) -> None:
    fields = json.loads(encode(honest))
    node = fields
    while True:
        place = data.draw(st.integers(0, len(node) - 1))
        if not isinstance(node[place], list) or not node[place] or data.draw(st.booleans()):
            break
        node = node[place]
    node[place] = data.draw(anything)
    judge(json.dumps(fields).encode())


HONEST = Fingerprint(
    "a" * 64,
    3,
    "image/png",
    RECIPE,
    (Signal("md5", "0" * 32), Signal("sha256", "a" * 64)),
    (Skip("pdq", Reason.DAMAGED),),
)


def altered(**changes: Any) -> bytes:
    return encode(dataclasses.replace(HONEST, **changes))


@pytest.mark.parametrize(
    "body",
    [
        altered(key="A" * 64),
        altered(key="a" * 63),
        altered(key="b" * 64),  # contradicts the sha256
        altered(size=-1),
        altered(size=1 << 63),
        altered(kind="image/png\x1b[2J"),
        altered(kind="x" * 200),
        altered(skipped=()),  # pdq left out in silence
        altered(signals=()),
        altered(signals=(*HONEST.signals, Signal("sha1", "0" * 40))),  # nobody asked
        altered(signals=(*HONEST.signals, HONEST.signals[0])),
        altered(signals=(Signal("md5", "F" * 32), *HONEST.signals)),
        altered(signals=(*HONEST.signals, Signal("pdq", "0" * 64, 101))),
        altered(signals=(*HONEST.signals, Signal("pdq", "0" * 64, 50, "line\nfeed"))),
        encode(HONEST).replace(b'"damaged"', b'"pleased"'),
        encode(HONEST).replace(b",false]", b",0]"),
        encode(HONEST) + b" []",
        b'["unreadable",1e3]',
        b'["unreadable",NaN]',
        b'["unreadable",true]',
        b'["failed","damaged","' + b"x" * (MAX_DETAIL + 1) + b'"]',
        b'["failed","damaged","\\ud800"]',
        b'["failed","damaged","\\u202e"]',
        b"[" * 100_000,
        b'["unreadable",' + b"9" * 100_000 + b"]",
        "[“unreadable”]".encode("utf-16"),
    ],
)
def test_what_no_honest_worker_says_is_nonsense(body: bytes) -> None:
    with pytest.raises(InvalidReply):
        codec.decode(body)


def test_the_honest_answer_which_the_cases_above_alter_is_accepted() -> None:
    assert codec.decode(encode(HONEST)) == HONEST


looking = ReplyDecoder({"pdq": BUILT_IN["pdq"]}, None)


def test_who_looks_at_pictures_has_no_word_to_say_about_digests() -> None:
    seen = PictureResult((Signal("pdq", "0" * 64, 50),), (), damaged=True)
    assert looking.decode(encode(seen)) == seen
    with pytest.raises(InvalidReply):
        looking.decode(encode(HONEST))
    with pytest.raises(InvalidReply):
        looking.decode(encode(dataclasses.replace(seen, signals=HONEST.signals)))
    with pytest.raises(InvalidReply):
        looking.decode(encode(dataclasses.replace(seen, signals=())))


def test_who_digests_may_account_for_types_that_it_does_not_compute_and_no_others() -> None:
    digests = ReplyDecoder({"md5": BUILT_IN["md5"]}, RECIPE, ["pdq"])
    made = dataclasses.replace(HONEST, signals=HONEST.signals[:1])
    assert digests.decode(encode(made)) == made
    for wrong in ("sha1", "phash64"):
        skips = (Skip(wrong, Reason.DAMAGED),)
        with pytest.raises(InvalidReply):
            digests.decode(encode(dataclasses.replace(made, skipped=skips)))
    with pytest.raises(InvalidReply):
        digests.decode(encode(PictureResult((), (), damaged=False)))


def test_an_explanation_is_made_printable_and_short() -> None:
    reply = codec.decode(encode(TaskFailure(Reason.DAMAGED, "a\x1b[31m\u202e\ud800" + "x" * 1000)))
    assert isinstance(reply, TaskFailure)
    assert reply.detail.startswith("a?[31m??x")
    assert len(reply.detail) == MAX_DETAIL


def test_a_fingerprint_too_long_for_the_wire_becomes_a_failure_not_silence() -> None:
    many = tuple(Signal("pdq", f"{n:064x}", 100) for n in range(5000))
    body = encode(dataclasses.replace(HONEST, signals=many))
    assert len(body) <= MAX_ANSWER
    reply = codec.decode(body)
    assert isinstance(reply, TaskFailure)
    assert reply.reason is Reason.OVER_LIMIT


def test_a_plan_arrives_as_it_was_sent() -> None:
    plan = Plan(
        ("md5", "photodna"),
        Limits(timeout=1.5, max_frames=3),
        orientations=True,
        commands=(("photodna", ("/usr/bin/hash", "-v")),),
    )
    assert plan_from_fields(json.loads(json.dumps(plan_to_fields(plan)))) == plan
