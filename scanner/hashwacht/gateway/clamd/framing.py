"""The framing of clamd's protocol without any I/O: bytes in, events out.

A command has one of three forms, by the first byte that is unread: ``z`` ends at NUL, ``n`` at a
line feed, and anything else is one command in what one read returned, as old clients send it.
Outside a session a command is the only one of its connection.  What follows it is ignored, since
some clients send more bytes than the end of a stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from hashwacht.gateway.clamd.commands import SESSION_WORDS, ReplyForm, Word, parse_command

MAX_COMMAND = 4104
"""Bytes of a command: the longest path and eight more, as in clamd."""

MAX_READ = 256 << 10
"""Bytes of one read."""

_LENGTH = 4
"""Bytes of the length of a chunk, big-endian."""


@dataclass(frozen=True, slots=True)
class CommandReceived:
    """A complete command.  After INSTREAM follow StreamChunk and StreamEnd."""

    word: Word
    argument: bytes
    form: ReplyForm


@dataclass(frozen=True, slots=True)
class StreamChunk:
    """The next bytes of a content."""

    data: bytes


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """The end of a content; *last_chunk* is the greatest length of a chunk in it."""

    form: ReplyForm
    last_chunk: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """The reply to what is not permitted; no further command is accepted.

    *is_fault*: the framing is wrong.
    """

    reply: bytes
    is_fault: bool = False


Event = CommandReceived | StreamChunk | StreamEnd | Refusal


class _Mode(Enum):
    COMMAND = auto()
    STREAM = auto()
    ENDED = auto()


class CommandReader:
    """Cuts what a client sends into events.  *max_stream* limits the bytes of one content."""

    __slots__ = (
        "_buffer",
        "_descriptor",
        "_form",
        "_greatest",
        "_left",
        "_max_stream",
        "_mode",
        "_number",
        "_quota",
    )

    def __init__(self, max_stream: int) -> None:
        self._max_stream = max_stream
        self._mode = _Mode.COMMAND
        self._buffer = b""  # the beginning of a command, or of the length of a chunk
        self._number = 0  # of the next command; 0: no session
        self._form = ReplyForm(0, b"\0")
        self._left = self._quota = self._greatest = 0
        self._descriptor = False

    @property
    def has_ended(self) -> bool:
        """Return whether no further command is accepted."""
        return self._mode is _Mode.ENDED

    @property
    def in_session(self) -> bool:
        """Return whether a session waits for its next command."""
        return self._number > 0 and self._mode is _Mode.COMMAND

    @property
    def form(self) -> ReplyForm:
        """Return the form of a reply now: its number, and the end of the last command."""
        return ReplyForm(self._number, self._form.terminator)

    @property
    def read_size(self) -> int:
        """Return how many bytes to read next: many of a content, few of commands."""
        if self._mode is _Mode.STREAM and not self._number:
            return MAX_READ
        return min(MAX_READ, max(MAX_COMMAND, self._left))

    @property
    def in_stream(self) -> bool:
        """Return whether a content is incomplete."""
        return self._mode is _Mode.STREAM

    def receive(self, data: bytes | memoryview, *, descriptor: bool = False) -> list[Event]:
        """Return the events of *data*, which is what one read returned.

        *descriptor*: a file came with it.  Whoever has received the file closes it if FILDES is
        not among the events; FILDES is never reported without one.
        """
        events: list[Event] = []
        self._descriptor = descriptor
        view = memoryview(self._buffer + data) if self._buffer else memoryview(data)
        if descriptor and self.in_stream:
            events.append(self._unclaimed(view))
            return events
        rest = self._read(view, events)
        if self._mode is _Mode.COMMAND and len(rest) >= MAX_COMMAND:
            events.append(self._refuse(b"", is_fault=True))
        elif self._descriptor and self._mode is _Mode.COMMAND:
            events.append(self._unclaimed(rest))
        self._buffer = b"" if self.has_ended else bytes(rest)
        return events

    def _read(self, view: memoryview, events: list[Event]) -> memoryview:
        """Add the events of *view*; return what is incomplete."""
        begins = True
        while view and self._mode is not _Mode.ENDED:
            if self._mode is _Mode.STREAM:
                view = view[self._read_stream(view, events) :]
                begins = True
                if self._mode is _Mode.STREAM:
                    break
            else:
                used = self._read_command(view, events, begins=begins)
                if not used:
                    break
                view, begins = view[used:], False
        return view

    def _read_command(self, view: memoryview, events: list[Event], *, begins: bool) -> int:
        """Add the event of the next command; return its bytes, 0 if it is not complete.

        *begins*: nothing was before it in this read.
        """
        prefix = view[0]
        delimited = prefix in b"nz"
        if not delimited and not begins:
            return 0  # old clients send one command in one write
        terminator = b"\0" if prefix == ord("z") else b"\n"
        pending = bytes(view[:MAX_COMMAND])
        end = pending.find(terminator)
        if delimited and end < 0:
            return 0
        line = pending[1 if delimited else 0 : end if end >= 0 else None]
        if terminator == b"\n":
            line = line.partition(b"\0")[0].rstrip(b"\r\n")
        used = end + 1
        if line == Word.FILDES.value:
            used += 1  # the byte that carries the descriptor
            if end < 0 or used > len(view):
                return 0
        self._execute(line, terminator, delimited=delimited, events=events)
        return used if delimited else len(view)

    def _execute(
        self, line: bytes, terminator: bytes, *, delimited: bool, events: list[Event]
    ) -> None:
        """Add the event of a complete command, and change the mode."""
        if self._number and not delimited:
            text = rb"Only nCMDS\n and zCMDS\0 are accepted inside IDSESSION. ERROR"
            reply = self.form.line(text) + self._failed()
            events.append(self._refuse(reply, is_fault=True))
            return
        self._form = form = ReplyForm(self._number, terminator)
        parsed = parse_command(line, delimited=delimited)
        if self._number and (parsed is None or parsed[0] not in SESSION_WORDS):
            text = b"Command invalid inside IDSESSION. ERROR"
            events.append(self._refuse(form.line(text)))
            return
        if parsed is None or (parsed[0] is Word.END and not self._number):
            events.append(self._refuse(form.line(b"UNKNOWN COMMAND")))
            return
        word, argument = parsed
        if word is Word.FILDES:
            if not self._descriptor:
                text = b"No file descriptor received. ERROR"
                events.append(self._refuse(form.line(text), is_fault=True))
                return
            self._descriptor = False
        events.append(CommandReceived(word, argument, form))
        self._advance(word)

    def _advance(self, word: Word) -> None:
        """Change the mode after *word*."""
        if word is Word.INSTREAM:
            self._mode, self._quota = _Mode.STREAM, self._max_stream
            self._left = self._greatest = 0
            return
        if word is Word.IDSESSION:
            self._number = 1
        elif word is Word.END or not self._number:
            self._end()
        else:
            self._number += 1

    def _read_stream(self, view: memoryview, events: list[Event]) -> int:
        """Add the events of the next bytes of a content; return their number.

        Bytes are left if the content is complete, or the next length is not.
        """
        pieces: list[memoryview] = []
        position, ending = 0, None
        while True:
            size = min(self._left, len(view) - position)
            if size:
                pieces.append(view[position : position + size])
                position, self._left = position + size, self._left - size
            if self._left or len(view) - position < _LENGTH:
                break
            length = int.from_bytes(view[position : position + _LENGTH], "big")
            position += _LENGTH
            ending = self._begin_chunk(length)
            if ending is not None:
                break
        if pieces:
            events.append(StreamChunk(b"".join(pieces)))
        if ending is not None:
            events.append(ending)
        return position

    def _begin_chunk(self, length: int) -> StreamEnd | Refusal | None:
        """Return what a chunk of *length* bytes ends: the content, or the connection."""
        if length > self._quota:
            text = b"INSTREAM size limit exceeded. ERROR"
            return self._refuse(self._form.line(text), is_fault=True)
        if length:
            self._quota -= length
            self._left = length
            self._greatest = max(self._greatest, length)
            return None
        if self._number:
            self._mode, self._number = _Mode.COMMAND, self._number + 1
        else:
            self._end()
        return StreamEnd(self._form, self._greatest)

    def _unclaimed(self, rest: memoryview) -> Refusal:
        """Return the refusal of a descriptor that belongs to no FILDES; *rest* is incomplete."""
        reply = self.form.line(b"PROTOCOL ERROR: ancillary data sent without FILDES. ERROR")
        if self._mode is _Mode.STREAM or bytes(rest).strip(b"zn\0\n") == Word.FILDES.value:
            reply += self._failed()
        return self._refuse(reply, is_fault=True)

    def _failed(self) -> bytes:
        return self.form.line(b"Error processing command. ERROR")

    def _refuse(self, reply: bytes, *, is_fault: bool = False) -> Refusal:
        self._end()
        return Refusal(reply, is_fault)

    def _end(self) -> None:
        self._mode, self._buffer = _Mode.ENDED, b""
