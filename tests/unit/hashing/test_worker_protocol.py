"""Replies of workers survive encoding, and invalid ones are refused; so do control messages."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashwacht.core.signals import BUILT_IN
from hashwacht.core.types import Fingerprint, Reason, Signal, Skip
from hashwacht.core.views import TURNS, ViewKind, join_variant
from hashwacht.hashing import Limits, Plan
from hashwacht.hashing.workers.forkserver.forkserver_protocol import (
    ForkServerConfig,
    LoadedReply,
    ReapReply,
    ReapRequest,
    SpawnFailureReply,
    SpawnReply,
    SpawnRequest,
    config_decoder,
    reply_decoder,
    request_decoder,
)
from hashwacht.hashing.workers.protocol import (
    MAX_BATCH,
    MAX_DETAIL,
    MAX_REPLY,
    PictureResult,
    Reply,
    ReplyDecoder,
    TaskFailure,
    Unreadable,
    WorkerKind,
    encode,
    max_answer,
)
from hashwacht.hashing.workers.sandbox import WorkerLimits
from hashwacht.ipc.codec import ProtocolError
from hashwacht.ipc.codec import encode as encode_message

TYPES = {name: BUILT_IN[name] for name in ("md5", "sha256", "pdq")}
RECIPE = ("md5/1", "sha256/1", "pdq/1")
decoder = ReplyDecoder(TYPES, RECIPE)

printable = st.text(st.characters(categories=("L", "N", "P")), max_size=MAX_DETAIL)
reasons = st.sampled_from(Reason)


def hexadecimal(digits: int) -> st.SearchStrategy[str]:
    return st.text("0123456789abcdef", min_size=digits, max_size=digits)


@st.composite
def fingerprints(draw: st.DrawFn) -> Fingerprint:
    """Generate any fingerprint that an honest worker may return under this plan."""
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


@settings(max_examples=100)
@given(st.lists(replies, min_size=1, max_size=MAX_BATCH))
def test_a_batch_of_replies_survives_encoding(batch: list[Reply]) -> None:
    body = encode(batch)
    assert len(body) <= max_answer(len(batch))
    assert decoder.decode(body, len(batch)) == batch
    for count in (0, len(batch) - 1, len(batch) + 1):
        with pytest.raises(ProtocolError):
            decoder.decode(body, count)


def assert_refused_or_well_formed(body: bytes) -> None:
    try:
        (reply,) = decoder.decode(body, 1)
    except ProtocolError:
        return
    assert decoder.decode(encode([reply]), 1) == [reply]
    if isinstance(reply, Fingerprint):
        types = {s.type for s in reply.signals} | {s.type for s in reply.skipped}
        assert types == TYPES.keys()
        assert all(TYPES[s.type].canonical(s.value) == s.value for s in reply.signals)


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_any_bytes_are_replies_or_refused(body: bytes) -> None:
    assert_refused_or_well_formed(body)
    assert_refused_or_well_formed(b"[" + body + b"]")


words = st.sampled_from(["fingerprint", "unreadable", "failed", "pdq", "damaged", "a" * 64])
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | words
anything = st.recursive(leaves, lambda inner: st.lists(inner, max_size=5), max_leaves=12)


@settings(max_examples=300)
@given(anything)
def test_any_json_is_a_reply_or_refused(value: Any) -> None:
    assert_refused_or_well_formed(json.dumps([value]).encode())


@settings(max_examples=300)
@given(fingerprints(), st.data())
def test_a_changed_answer_is_refused_or_well_formed(
    honest: Fingerprint, data: st.DataObject
) -> None:
    fields = json.loads(encode([honest]))
    node = fields
    while True:
        place = data.draw(st.integers(0, len(node) - 1))
        if not isinstance(node[place], list) or not node[place] or data.draw(st.booleans()):
            break
        node = node[place]
    node[place] = data.draw(anything)
    assert_refused_or_well_formed(json.dumps(fields).encode())


HONEST = Fingerprint(
    "a" * 64,
    3,
    "image/png",
    RECIPE,
    (Signal("md5", "0" * 32), Signal("sha256", "a" * 64)),
    (Skip("pdq", Reason.DAMAGED),),
)


def altered(**changes: Any) -> bytes:
    return encode([dataclasses.replace(HONEST, **changes)])


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
        altered(skipped=()),  # pdq has neither a value nor a reason
        altered(signals=()),
        altered(signals=(*HONEST.signals, Signal("sha1", "0" * 40))),  # not required
        altered(signals=(*HONEST.signals, HONEST.signals[0])),
        altered(signals=(Signal("md5", "F" * 32), *HONEST.signals)),
        altered(signals=(*HONEST.signals, Signal("pdq", "0" * 64, 101))),
        altered(signals=(*HONEST.signals, Signal("pdq", "0" * 64, 50, "line\nfeed"))),
        encode([HONEST]).replace(b'"damaged"', b'"pleased"'),
        encode([HONEST]).replace(b",false]", b",0]"),
        encode([HONEST]) + b" []",
        encode([HONEST])[1:-1],
        b'[["unreadable",1e3]]',
        b'[["unreadable",NaN]]',
        b'[["unreadable",true]]',
        b'[["failed","damaged","' + b"x" * (MAX_DETAIL + 1) + b'"]]',
        b'[["failed","damaged","\\ud800"]]',
        b'[["failed","damaged","\\u202e"]]',
        b"[" * 100_000,
        b'[["unreadable",' + b"9" * 100_000 + b"]]",
        "[[“unreadable”]]".encode("utf-16"),
    ],
)
def test_a_refused_answer(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        decoder.decode(body, 1)


def test_the_answer_that_the_refused_ones_vary_is_accepted() -> None:
    assert decoder.decode(encode([HONEST]), 1) == [HONEST]


def test_an_invalid_reply_spoils_its_batch() -> None:
    wrong = dataclasses.replace(HONEST, size=-1)
    with pytest.raises(ProtocolError):
        decoder.decode(encode([HONEST, wrong]), 2)


pictures = ReplyDecoder({"pdq": BUILT_IN["pdq"]}, None)


def test_a_picture_worker_cannot_send_digests() -> None:
    result = PictureResult((Signal("pdq", "0" * 64, 50),), (), damaged=True)
    assert pictures.decode(encode([result]), 1) == [result]
    for wrong in (
        HONEST,
        dataclasses.replace(result, signals=HONEST.signals),
        dataclasses.replace(result, signals=()),
    ):
        with pytest.raises(ProtocolError):
            pictures.decode(encode([wrong]), 1)


def test_a_digest_worker_gives_reasons_for_known_types_only() -> None:
    digests = ReplyDecoder({"md5": BUILT_IN["md5"]}, RECIPE, ["pdq"])
    fingerprint = dataclasses.replace(HONEST, signals=HONEST.signals[:1])
    assert digests.decode(encode([fingerprint]), 1) == [fingerprint]
    for unknown in ("sha1", "phash64"):
        skips = (Skip(unknown, Reason.DAMAGED),)
        with pytest.raises(ProtocolError):
            digests.decode(encode([dataclasses.replace(fingerprint, skipped=skips)]), 1)
    with pytest.raises(ProtocolError):
        digests.decode(encode([PictureResult((), (), damaged=False)]), 1)


def test_a_detail_is_made_printable_and_short() -> None:
    failure = TaskFailure(Reason.DAMAGED, "a\x1b[31m\u202e\ud800" + "x" * 1000)
    (reply,) = decoder.decode(encode([failure]), 1)
    assert isinstance(reply, TaskFailure)
    assert reply.detail.startswith("a?[31m??x")
    assert len(reply.detail) == MAX_DETAIL


def _frames(count: int) -> Iterator[Signal]:
    """Yield the signals of an animation: all orientations of each frame, of 16 all views."""
    numbers, views = itertools.count(), ("", "shown", "white", "black", *["screen"] * 8)
    for frame in range(count):
        for view in views if frame % 16 == 0 else views[:1]:
            for turn in ("", *TURNS):
                variant = join_variant(f"frame:{frame}", view, turn)
                yield Signal("pdq", f"{next(numbers):064x}", 100, variant)


def test_all_views_of_256_frames_fit_into_a_reply() -> None:
    fingerprint = dataclasses.replace(HONEST, signals=(*HONEST.signals, *_frames(256)))
    body = encode([fingerprint])
    assert 300 << 10 < len(body) <= MAX_REPLY
    assert decoder.decode(body, 1) == [fingerprint]


def test_of_a_reply_that_is_too_long_the_first_signals_are_kept() -> None:
    many = (*HONEST.signals, *_frames(2000))
    body = encode([dataclasses.replace(HONEST, signals=many), HONEST])
    shortened, fingerprint = decoder.decode(body, 2)
    assert fingerprint == HONEST
    assert isinstance(shortened, Fingerprint)
    assert 0.95 * MAX_REPLY < len(encode([shortened])) <= max_answer(1)
    assert shortened.signals == many[: len(shortened.signals)]
    (reason,) = set(shortened.skipped) - set(HONEST.skipped)
    assert (reason.type, reason.reason) == ("pdq", Reason.OVER_LIMIT)
    assert str(len(many)) in reason.detail


CONFIG = ForkServerConfig(
    Plan(
        ("md5", "photodna"),
        Limits(timeout=3, max_frames=3),
        views=tuple(ViewKind),
        commands=(("photodna", ("/usr/bin/hash", "-v")),),
    ),
    "module:factory",
    8,
    False,
    WorkerLimits(),
)


def test_control_messages_survive_encoding() -> None:
    assert config_decoder.decode(encode_message(CONFIG)) == CONFIG
    for request in (SpawnRequest(WorkerKind.PICTURE), ReapRequest(7)):
        assert request_decoder.decode(encode_message(request)) == request
    for reply in (
        LoadedReply(RECIPE, ("md5",)),
        SpawnReply(7),
        SpawnFailureReply("no memory"),
        ReapReply(9),
        ReapReply(None),
    ):
        assert reply_decoder.decode(encode_message(reply)) == reply


@pytest.mark.parametrize(
    "fields", [["spawn"], ["spawn", 5], ["spawn", "0"], ["reap", 0], ["reap", -1], ["kill", 1], []]
)
def test_a_refused_control_request(fields: list[object]) -> None:
    with pytest.raises(ProtocolError):
        request_decoder.decode(encode_message(fields))


def test_a_configuration_with_an_unknown_field_is_refused() -> None:
    with pytest.raises(ProtocolError):
        config_decoder.decode(encode_message(CONFIG).replace(b'"quick"', b'"quack"'))
