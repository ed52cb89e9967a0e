"""The packed answers about small contents, and what their decoder refuses."""

from __future__ import annotations

import hashlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashwacht.core.types import Fingerprint, Reason, Signal, Skip
from hashwacht.hashing.workers.protocol import Reply, TaskFailure
from hashwacht.hashing.workers.small.small_protocol import (
    MAX_SMALL_SIZE,
    SmallReplyDecoder,
    encode_small,
)
from hashwacht.ipc.codec import ProtocolError

NAMES = ("md5", "sha1", "sha256")
DECODER = SmallReplyDecoder(("md5/1", "pdq/1"), NAMES, ["pdq"])
OTHER = TaskFailure(Reason.OTHER_KIND)


def content(number: int, kind: str = "text/plain") -> Fingerprint:
    """Return the fingerprint of a content as the decoder completes it."""
    values = {name: hashlib.new(name, b"%d" % number).hexdigest() for name in NAMES}
    signals = tuple(Signal(name, value) for name, value in values.items())
    skipped = (Skip("pdq", Reason.OTHER_KIND),)
    return Fingerprint(values["sha256"], number, kind, ("md5/1", "pdq/1"), signals, skipped)


contents = st.builds(
    content,
    st.integers(0, MAX_SMALL_SIZE),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=128),
)


@given(st.lists(contents | st.just(OTHER), max_size=32))
def test_contents_survive_and_others_are_none(replies: list[Reply]) -> None:
    expected = [reply if isinstance(reply, Fingerprint) else None for reply in replies]
    assert DECODER.decode(encode_small(replies), len(replies)) == expected


@given(st.binary(max_size=300), st.integers(0, 3))
def test_other_bytes_are_refused(body: bytes, count: int) -> None:
    with suppress(ProtocolError):
        assert len(DECODER.decode(body, count)) == count


BODY = encode_small([content(7), OTHER])
SIZE = len(BODY) - len("text/plain")
ONE = SIZE // 2


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (BODY, 1),
        (BODY, 3),
        (BODY[:-1], 2),
        (BODY + b"x", 2),
        (b"\2" + BODY[1:], 2),  # neither of the two states
        (BODY[:1] + b"\xff" + BODY[2:], 2),  # a size that is not small
        (BODY[:-1] + b"\n", 2),  # a kind that is not printable
        (BODY[: ONE + 2] + b"\1" + BODY[ONE + 3 :], 2),  # a record of no content that has a size
    ],
)
def test_a_wrong_answer_is_refused(body: bytes, count: int) -> None:
    with pytest.raises(ProtocolError):
        DECODER.decode(body, count)
