"""The log of a stream: numbered, bounded, and repeated from where a scanner continues."""

from __future__ import annotations

import pytest

from hashwacht.core.watch_events import Root
from hashwacht.ipc.codec import FrameSplitter, ProtocolError
from hashwacht.watch.fanotify_log import MAX_SIZE, MessageLog

WEB, MAIL = Root("web", b"/srv"), Root("mail", b"/mail")


def sent(log: MessageLog, size: int = MAX_SIZE) -> list[tuple[int, bytes]]:
    splitter = FrameSplitter()
    return [message for frame in log.next_frames(size) for message in splitter.feed(frame)]


def make_log(*bodies: bytes) -> MessageLog:
    log = MessageLog([WEB])
    for body in bodies:
        log.append(body)
    return log


def test_messages_are_sent_once_in_order() -> None:
    log = make_log(b"a", b"b", b"c")
    assert sent(log, size=1) == [(1, b"a")]
    assert sent(log) == [(2, b"b"), (3, b"c")]
    assert sent(log) == []
    assert not log.has_waiting


def test_what_is_not_acknowledged_is_sent_again() -> None:
    log = make_log(b"a", b"b", b"c")
    sent(log)
    log.acknowledge(1)
    log.append(b"d")
    assert log.rewind(2)
    assert sent(log) == [(3, b"c"), (4, b"d")]
    assert log.acknowledged == 2


@pytest.mark.parametrize("number", [0, 4])
def test_a_position_outside_of_the_log_is_refused(number: int) -> None:
    log = make_log(b"a", b"b", b"c")
    sent(log)
    log.acknowledge(1)
    assert not log.rewind(number)


def test_what_was_not_sent_cannot_be_acknowledged() -> None:
    with pytest.raises(ProtocolError):
        make_log(b"a").acknowledge(1)


def test_the_roots_are_those_after_the_acknowledged() -> None:
    log = make_log(b"a")
    log.append(b"roots", [WEB, MAIL])
    sent(log)
    log.acknowledge(1)
    assert list(log.roots) == [WEB]
    log.acknowledge(2)
    assert list(log.roots) == [WEB, MAIL]


def test_it_is_full_until_more_is_acknowledged() -> None:
    log = make_log(b"x" * (MAX_SIZE // 20))
    while not log.is_full:
        log.append(b"x" * (MAX_SIZE // 20))
    sent(log)
    log.acknowledge(log.last)
    assert not log.is_full
    assert log.size == 0


def test_a_copy_continues_with_the_same_messages() -> None:
    log = make_log(b"a", b"b", b"c")
    sent(log, size=1)
    log.acknowledge(1)
    sent(log, size=1)
    copy = MessageLog(log.roots, log.acknowledged, log.entries())
    assert sent(copy) == [(2, b"b"), (3, b"c")]
    assert (copy.last, copy.size) == (log.last, log.size)
