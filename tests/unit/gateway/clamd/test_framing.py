from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashwacht.gateway.clamd.commands import ReplyForm, Word
from hashwacht.gateway.clamd.framing import (
    MAX_COMMAND,
    CommandReader,
    CommandReceived,
    Event,
    Refusal,
    StreamChunk,
    StreamEnd,
)

LIMIT = 1000


def events(*reads: bytes, descriptors: tuple[int, ...] = ()) -> list[Event]:
    """Return the events of *reads*; a descriptor came with those numbered in *descriptors*."""
    reader = CommandReader(LIMIT)
    received: list[Event] = []
    for number, data in enumerate(reads):
        received += reader.receive(data, descriptor=number in descriptors)
    return received


def refusal(*reads: bytes, descriptors: tuple[int, ...] = ()) -> bytes:
    """Return the reply of the refusal that ends *reads*."""
    last = events(*reads, descriptors=descriptors)[-1]
    assert isinstance(last, Refusal)
    return last.reply


def joined(received: list[Event]) -> list[Event]:
    """Return *received* with the chunks of each content as one."""
    result: list[Event] = []
    for event in received:
        last = result[-1] if result else None
        if isinstance(event, StreamChunk) and isinstance(last, StreamChunk):
            result[-1] = StreamChunk(last.data + event.data)
        else:
            result.append(event)
    return result


@pytest.mark.parametrize(
    ("sent", "word", "argument", "terminator"),
    [
        (b"PING", Word.PING, b"", b"\n"),
        (b"PING\r\n", Word.PING, b"", b"\n"),
        (b"nPING\r\n", Word.PING, b"", b"\n"),
        (b"zPING\0", Word.PING, b"", b"\0"),
        (b"MULTISCAN /a b", Word.MULTISCAN, b"/a b", b"\n"),
        (b"zSCAN /a\nb\0", Word.SCAN, b"/a\nb", b"\0"),
        (b"zSCANx/a\0", Word.SCAN, b"/a", b"\0"),
        (b"nCONTSCAN /a\n", Word.CONTSCAN, b"/a", b"\n"),
        (b"SCAN /a\nSCAN /b\n", Word.SCAN, b"/a", b"\n"),
        (b"zVERSIONCOMMANDS\0", Word.VERSIONCOMMANDS, b"", b"\0"),
        (b"zDETSTATSCLEAR\0", Word.DETSTATSCLEAR, b"", b"\0"),
    ],
)
def test_a_command_in_each_form(
    sent: bytes, word: Word, argument: bytes, terminator: bytes
) -> None:
    assert events(sent) == [CommandReceived(word, argument, ReplyForm(0, terminator))]


@pytest.mark.parametrize(
    ("sent", "reply"),
    [
        (b"", None),
        (b"\n", b"UNKNOWN COMMAND\n"),
        (b"zPING \0", b"UNKNOWN COMMAND\0"),
        (b"zping\0", b"UNKNOWN COMMAND\0"),
        (b"zSCAN\0", b"UNKNOWN COMMAND\0"),
        (b"zEND\0", b"UNKNOWN COMMAND\0"),
        (b"STATS", b"UNKNOWN COMMAND\n"),
        (b"INSTREAM\n", b"UNKNOWN COMMAND\n"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"UNKNOWN COMMAND\n"),
        (b"z" + b"A" * MAX_COMMAND, b""),
        (b"zFILDES\0\0", b"No file descriptor received. ERROR\0"),
        (b"zIDSESSION\0zRELOAD\0", b"1: Command invalid inside IDSESSION. ERROR\0"),
        (b"zIDSESSION\0zPING\0nIDSESSION\n", b"2: Command invalid inside IDSESSION. ERROR\n"),
        (b"zINSTREAM\0\xff\xff\xff\xff", b"INSTREAM size limit exceeded. ERROR\0"),
    ],
)
def test_what_is_refused_has_the_reply_of_clamd(sent: bytes, reply: bytes | None) -> None:
    if reply is None:
        assert events(sent) == []
    else:
        assert refusal(sent) == reply


def test_an_old_command_is_one_read() -> None:
    assert refusal(b"PI", b"NG") == b"UNKNOWN COMMAND\n"


def test_an_old_command_in_a_session_ends_it() -> None:
    assert refusal(b"zIDSESSION\0PING", b"\n") == (
        rb"1: Only nCMDS\n and zCMDS\0 are accepted inside IDSESSION. ERROR"
        b"\x001: Error processing command. ERROR\0"
    )


def test_only_the_first_command_outside_a_session_counts() -> None:
    assert len(events(b"zPING\0zPING\0", b"zPING\0")) == 1


def test_a_descriptor_belongs_to_the_byte_after_the_command() -> None:
    form = ReplyForm(0, b"\0")
    received = [CommandReceived(Word.FILDES, b"", form)]
    assert events(b"zFILDES\0", b"\0", descriptors=(1,)) == received
    assert events(b"zFILDES\0\0", descriptors=(0,)) == received
    session = events(b"zIDSESSION\0zFILDES\0\0", b"zFILDES\0\0", descriptors=(0, 1))
    assert [event.word for event in session if isinstance(event, CommandReceived)] == [
        Word.IDSESSION,
        Word.FILDES,
        Word.FILDES,
    ]


@pytest.mark.parametrize("sent", [b"zFILDES\0", b"FILDES\n", b"FILDES\0"])
def test_a_descriptor_before_that_byte_is_a_fault(sent: bytes) -> None:
    assert refusal(sent, descriptors=(0,)) == (
        b"PROTOCOL ERROR: ancillary data sent without FILDES. ERROR\0"
        b"Error processing command. ERROR\0"
    )


def test_a_descriptor_in_a_content_is_a_fault() -> None:
    reply = refusal(b"zINSTREAM\0", bytes(4), descriptors=(1,))
    assert reply.startswith(b"PROTOCOL ERROR")


def test_bytes_after_the_end_of_a_content_are_ignored() -> None:
    received = events(b"nINSTREAM\n" + bytes(4) + b"\n", b"more")
    assert received[-1] == StreamEnd(ReplyForm(0, b"\n"), 0)


@given(st.binary(max_size=LIMIT), st.integers(1, LIMIT), st.data())
def test_a_content_is_the_same_in_any_pieces(
    content: bytes, chunk: int, data: st.DataObject
) -> None:
    pieces = [content[start : start + chunk] for start in range(0, len(content), chunk)]
    framed = b"".join(len(piece).to_bytes(4, "big") + piece for piece in pieces)
    sent = b"zIDSESSION\0nPING\nzINSTREAM\0" + framed + bytes(4) + b"zPING\0zEND\0"
    cuts = sorted(data.draw(st.sets(st.integers(1, len(sent) - 1), max_size=20)))
    reads = [sent[a:b] for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    received = joined(events(*reads))
    assert received == joined(events(sent))
    assert b"".join(e.data for e in received if isinstance(e, StreamChunk)) == content
    last = received[-1]
    assert isinstance(last, CommandReceived)
    assert (last.word, last.form.number) == (Word.END, 4)


@given(st.lists(st.binary(max_size=64)), st.booleans())
def test_no_bytes_raise_an_error(reads: list[bytes], in_session: bool) -> None:
    reader = CommandReader(LIMIT)
    if in_session:
        reader.receive(b"zIDSESSION\0")
    for number, data in enumerate(reads):
        reader.receive(data, descriptor=number % 3 == 2)
        assert reader.read_size > 0


@given(st.lists(st.integers(0, 1 << 32), min_size=1, max_size=6))
def test_no_content_is_longer_than_the_limit(lengths: list[int]) -> None:
    reader = CommandReader(LIMIT)
    reader.receive(b"zINSTREAM\0")
    size = 0
    for length in lengths:
        header = (length % (1 << 32)).to_bytes(4, "big")
        for event in reader.receive(header + bytes(min(length, 2 * LIMIT))):
            size += len(event.data) if isinstance(event, StreamChunk) else 0
    assert size <= LIMIT
