"""Replies about archives: what a worker that was taken over may not send."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashwacht.core.types import Reason
from hashwacht.hashing.archives.extraction import MAX_NAME, SEALS, printable_name
from hashwacht.hashing.workers.archive_protocol import (
    EndReply,
    MemberReply,
    decode_reply,
    encode_reply,
)
from hashwacht.hashing.workers.protocol import TaskFailure
from hashwacht.ipc.codec import ProtocolError


@pytest.fixture
def sealed() -> Iterator[int]:
    fd = os.memfd_create("member", os.MFD_ALLOW_SEALING)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    yield fd
    os.close(fd)


@given(name=st.binary(max_size=600), number=st.integers(1, 10_000))
def test_any_name_becomes_one_printable_line(name: bytes, number: int) -> None:
    shown = printable_name(name, number)
    assert 0 < len(shown) <= MAX_NAME
    assert shown.isprintable()


def test_a_member_is_decoded(sealed: int) -> None:
    body = encode_reply(MemberReply("dir/\u00e9.jpg"))
    assert decode_reply(body, [sealed]) == MemberReply("dir/\u00e9.jpg")


@given(
    problems=st.lists(
        st.builds(TaskFailure, st.sampled_from(Reason), st.text(max_size=300)), max_size=5
    )
)
def test_an_end_is_decoded(problems: list[TaskFailure]) -> None:
    reply = decode_reply(encode_reply(EndReply(tuple(problems))), [None])
    assert isinstance(reply, EndReply)
    assert [p.reason for p in reply.problems] == [p.reason for p in problems]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[",
        b"[" * 100_000,
        b"\xff",
        b"{}",
        b'["member"]',
        b'["member", 1]',
        b'["member", "a\\nb"]',
        b'["member", "' + b"a" * 401 + b'"]',
        b'["end", []]',
        b'["fingerprint", "a"]',
    ],
)
def test_other_replies_with_a_file_are_refused(sealed: int, body: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_reply(body, [sealed])


@pytest.mark.parametrize(
    "body",
    [b'["member", "a"]', b'["end", [1]]', b'["end", [["none", "a"]]]', b'["end", [["damaged"]]]'],
)
def test_other_replies_without_a_file_are_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_reply(body, [None])


def test_a_file_that_may_change_is_refused() -> None:
    open_memory = os.memfd_create("member", os.MFD_ALLOW_SEALING)
    reading, writing = os.pipe()
    try:
        for fd in (open_memory, reading):
            with pytest.raises(ProtocolError):
                decode_reply(b'["member", "a"]', [fd])
    finally:
        for fd in (open_memory, reading, writing):
            os.close(fd)
