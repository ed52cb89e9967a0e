"""Messages between watcher and scanner: they survive encoding, and invalid ones are refused."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashwacht.core.watch_events import Cause, MissedEvents, Root
from hashwacht.ipc.codec import MAX_BODY, FrameSplitter, ProtocolError, encode, printable
from hashwacht.watch.fanotify_protocol import (
    AcknowledgeRequest,
    AnnouncementFlags,
    HandoverReply,
    MissedReply,
    Ping,
    ReadyReply,
    RenewRequest,
    RootsReply,
    StreamReply,
    WatcherReply,
    WatcherRequest,
    WatchRequest,
    WireAnnouncement,
    decode_reply,
    decode_request,
    frame,
    pack_announcements,
)

PATHS = st.binary(max_size=40).map(lambda name: b"/" + name.replace(b"\0", b"/"))
ANNOUNCEMENTS = st.builds(WireAnnouncement, st.integers(0, 4), st.integers(0, 3), PATHS)
GAPS = st.builds(MissedEvents, st.text(), st.sampled_from(Cause), st.text(), st.binary())


def bodies(frames: Iterable[bytes]) -> list[bytes]:
    splitter = FrameSplitter()
    return [body for frame in frames for _, body in splitter.feed(frame)]


@given(st.lists(st.builds(Root, st.text(max_size=9), PATHS), max_size=5))
def test_roots_survive_encoding(roots: list[Root]) -> None:
    (body,) = bodies([frame(WatchRequest.from_roots(roots))])
    request = decode_request(body)
    assert isinstance(request, WatchRequest)
    assert request.to_roots() == roots


@given(GAPS)
def test_gaps_survive_encoding(gap: MissedEvents) -> None:
    (body,) = bodies([frame(MissedReply.from_gap(gap))])
    reply = decode_reply(body, 0)
    assert isinstance(reply, MissedReply)
    assert reply.to_gap() == MissedEvents(gap.root, gap.cause, printable(gap.detail), gap.path)


@pytest.mark.parametrize("request_", [RenewRequest(3), Ping(), AcknowledgeRequest(7)])
def test_other_requests_survive_encoding(request_: WatcherRequest) -> None:
    assert decode_request(encode(request_)) == request_


@pytest.mark.parametrize(
    "reply",
    [
        ReadyReply(),
        HandoverReply(),
        RootsReply((("web", b"/srv"),)),
        StreamReply("0a", 7, (("web", b"/srv"),), ("web",)),
        Ping(),
    ],
)
def test_other_replies_survive_encoding(reply: WatcherReply) -> None:
    assert decode_reply(encode(reply), 0) == reply


@given(st.lists(ANNOUNCEMENTS, max_size=30))
def test_announcements_survive_packing(announcements: list[WireAnnouncement]) -> None:
    unpacked: list[WireAnnouncement] = []
    for body in pack_announcements(announcements):
        reply = decode_reply(body, 5)
        assert isinstance(reply, list)
        unpacked += reply
    assert unpacked == announcements


def test_many_long_paths_are_several_messages() -> None:
    announcement = WireAnnouncement(0, int(AnnouncementFlags.CLOSED), b"/" + b"n" * 4000)
    packed = list(pack_announcements([announcement] * 1000))
    assert len(packed) > 1
    assert max(map(len, packed)) < MAX_BODY
    replies = [decode_reply(body, 1) for body in packed]
    assert [message for reply in replies if isinstance(reply, list) for message in reply] == [
        announcement
    ] * 1000


@pytest.mark.parametrize(
    "fields",
    [
        ["watch"],
        ["watch", [["a"]], "", 0],
        ["watch", [["a", b""]], "", 0],
        ["watch", [["a", b"relative"]], "", 0],
        ["watch", [["a", b"/nul\0"]], "", 0],
        ["watch", [["a", "/not Base64"]], "", 0],
        ["watch", [["a", b"/"]], "", 0, "more"],
        ["watch", [["a", b"/"]], "not hexadecimal", 0],
        ["watch", [["a", b"/"]], "", -1],
        ["acknowledge", 1 << 32],
        ["renew", -1],
        ["renew", "1"],
        ["renew", True],
        ["ready"],
        ["ping", 1],
        7,
    ],
    ids=str,
)
def test_a_refused_request(fields: object) -> None:
    with pytest.raises(ProtocolError):
        decode_request(encode(fields))


@pytest.mark.parametrize(
    "fields",
    [
        ["missed", "root", "bored", "", b""],
        ["missed", "root", "overflow", "\x1b[31m", b""],
        ["missed", "root", "overflow", "x" * 401, b""],
        ["missed", "root", "overflow", "", "/not Base64"],
        ["missed", "root", "overflow", ""],
        ["watch", []],
        ["ready", 1],
        ["roots", [["a", b"relative"]]],
        ["stream", "0a", 1, [["a", b"relative"]], []],
    ],
    ids=str,
)
def test_a_refused_reply(fields: object) -> None:
    with pytest.raises(ProtocolError):
        decode_reply(encode(fields), 9)


def test_an_announcement_of_an_unknown_root_is_refused() -> None:
    (body,) = pack_announcements([WireAnnouncement(3, 0, b"/x")])
    assert decode_reply(body, 4)
    for roots, candidate in ((3, body), (4, body[:-1]), (4, body + b"\0")):
        with pytest.raises(ProtocolError):
            decode_reply(candidate, roots)


@given(st.binary(max_size=60) | GAPS.map(lambda gap: encode(MissedReply.from_gap(gap))))
def test_any_bytes_are_a_message_or_refused(body: bytes) -> None:
    with suppress(ProtocolError):
        assert encode(decode_request(body)) == body
    for candidate in (body, b"A" + body):
        with suppress(ProtocolError):
            reply = decode_reply(candidate, 3)
            assert (
                all(message.root < 3 for message in reply)
                if isinstance(reply, list)
                else encode(reply) == candidate
            )
    with suppress(ProtocolError):
        list(FrameSplitter().feed(body))
