"""Messages between watcher and scanner: what goes in comes out, and nonsense is refused."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashwacht.core.watch_events import Cause, MissedEvents, Root
from hashwacht.ipc.frames import MAX_BODY, ProtocolError, pack_frame
from hashwacht.watch import fanotify_protocol
from hashwacht.watch.fanotify_protocol import AnnouncementFlags, MessageSplitter, WireAnnouncement

PATHS = st.binary(max_size=40).map(lambda name: b"/" + name.replace(b"\0", b"/"))
NAMED = st.builds(WireAnnouncement, st.integers(0, 4), st.integers(0, 3), PATHS)


def cut(stream: bytes, step: int = 1 << 20) -> list[tuple[bytes, bytes]]:
    cutter = MessageSplitter()
    parts = [stream[at : at + step] for at in range(0, len(stream), step)]
    return [message for part in parts for message in cutter.feed(part)]


@given(st.lists(st.builds(Root, st.text(max_size=9), PATHS), max_size=5))
def test_roots(roots: list[Root]) -> None:
    ((kind, body),) = cut(fanotify_protocol.watch(roots))
    assert kind == fanotify_protocol.WATCH
    assert fanotify_protocol.decode_watch(body) == roots


@given(st.builds(MissedEvents, st.text(), st.sampled_from(Cause), st.text(), st.binary()))
def test_gaps(missed: MissedEvents) -> None:
    ((kind, body),) = cut(fanotify_protocol.missed(missed))
    assert kind == fanotify_protocol.MISSED
    assert fanotify_protocol.decode_missed(body) == missed


@given(st.lists(NAMED, max_size=30), st.integers(1, 50))
def test_announcements_in_whatever_pieces_they_arrive(
    named: list[WireAnnouncement], step: int
) -> None:
    found: list[WireAnnouncement] = []
    for kind, body in cut(b"".join(fanotify_protocol.names(named)), step):
        assert kind == fanotify_protocol.NAMES
        found += fanotify_protocol.decode_names(body, 5)
    assert found == named


def test_many_long_names_are_several_messages() -> None:
    named = [WireAnnouncement(0, int(AnnouncementFlags.CLOSED), b"/" + b"n" * 4000)] * 1000
    messages = list(fanotify_protocol.names(named))
    assert len(messages) > 1
    assert max(map(len, messages)) < MAX_BODY
    assert [
        each
        for _, body in cut(b"".join(messages))
        for each in fanotify_protocol.decode_names(body, 1)
    ]


def test_a_root_to_watch_anew_is_one_of_them() -> None:
    ((kind, body),) = cut(fanotify_protocol.renew(3))
    assert kind == fanotify_protocol.RENEW
    assert fanotify_protocol.decode_renew(body, 4) == 3
    for wrong in (b"", b"-1", b"4", b"x", b"9" * 5000):
        with pytest.raises(ProtocolError):
            fanotify_protocol.decode_renew(wrong, 4)


@pytest.mark.parametrize("body", [b"[{}]", b"{", b'[{"root":"a","path":"no"}]', b"\xff", b"7"])
def test_no_list_of_roots(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        fanotify_protocol.decode_watch(body)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_nonsense(body: bytes) -> None:
    with suppress(ProtocolError):
        fanotify_protocol.decode_watch(body)
    with suppress(ProtocolError):
        fanotify_protocol.decode_missed(body)
    with suppress(ProtocolError):
        assert all(each.root < 3 for each in fanotify_protocol.decode_names(body, 3))
    with suppress(ProtocolError):
        list(MessageSplitter().feed(body))


def test_a_message_that_is_too_long_is_refused_before_it_has_come() -> None:
    head = bytearray(pack_frame(0, b"")[:12])
    head[-4:] = (MAX_BODY + 1).to_bytes(4, "big")
    with pytest.raises(ProtocolError):
        cut(bytes(head))
