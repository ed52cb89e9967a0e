"""Readings of one part: the bytes as they came, decoded, or as a field that may be a file.

Applications disagree about what a part contains. Each class here is one answer; the bytes of a
part are written to all that apply, and each produces a file of its own.
"""

from __future__ import annotations

import binascii
import codecs
import re
from collections.abc import Callable
from typing import Protocol

from python_multipart.exceptions import FormParserError

from hashwacht.multipart.events import (
    BodyEvent,
    FileChunk,
    FileDropped,
    FileEnd,
    FileStart,
)

MAX_TEXT = 4 << 10
"""A part without a file name is a text field if it has no control characters and at most these
bytes.  A picture written as text (PPM, SVG) of this size shows next to nothing."""

_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0e-\x1f\x7f]")
"""Bytes that a text field does not contain, and the header of every binary picture format does."""

_BLANKS = b" \t\r\n"

Emit = Callable[[BodyEvent], object]


class Reading(Protocol):
    """Receives the bytes of a part.  Every method may raise FormParserError."""

    def write(self, chunk: bytes, /) -> None:
        """Receive the next bytes."""

    def finish(self) -> None:
        """End the part."""

    def drop(self) -> None:
        """Discard what is open."""


class FileReading:
    """The bytes as they are written, as one file."""

    def __init__(self, start: FileStart, emit: Emit) -> None:
        """Start the file described by *start*."""
        self._reading, self._emit, self._open = start.reading, emit, True
        emit(start)

    def write(self, chunk: bytes, /) -> None:
        """Emit the next bytes."""
        if chunk:
            self._emit(FileChunk(bytes(chunk), self._reading))

    def finish(self) -> None:
        """End the file."""
        self._open = False
        self._emit(FileEnd(self._reading))

    def drop(self) -> None:
        """Discard the file."""
        if self._open:
            self._open = False
            self._emit(FileDropped(self._reading))


class EndedLineReading(FileReading):
    """The bytes with the line break before the delimiter.

    Python's ``email`` keeps it in a part that is a multipart without a boundary.
    """

    def finish(self) -> None:
        """Add the line break, and end the file."""
        self.write(b"\r\n")
        super().finish()


class TextFieldReading:
    """A part without a file name: a file if it is no short text.

    FastAPI's ``bytes = File()``, Falcon and others return such a part as bytes. Short text, such as
    a password, is never hashed.
    """

    def __init__(self, open_file: Callable[[], Reading]) -> None:
        """Call *open_file* for the reading of a field that may be a file."""
        self._open_file = open_file
        self._buffer = b""
        self._file: Reading | None = None

    def write(self, chunk: bytes, /) -> None:
        """Receive the next bytes; open the file when they are no short text."""
        if self._file is None:
            self._buffer += chunk
            if len(self._buffer) <= MAX_TEXT and not _CONTROLS.search(self._buffer):
                return
            self._file, chunk, self._buffer = self._open_file(), self._buffer, b""
        self._file.write(chunk)

    def finish(self) -> None:
        """End the file, if it is one."""
        if self._file is not None:
            self._file.finish()

    def drop(self) -> None:
        """Discard the file, if it is one."""
        if self._file is not None:
            self._file.drop()


class ReencodedReading:
    """A field that Starlette decodes to text as Latin-1, and FastAPI encodes in UTF-8 again.

    That happens to bytes that are not valid UTF-8, or if the request declares another charset. All
    other fields come back unchanged, and this reading is dropped.
    """

    def __init__(self, file: Reading, *, utf8: bool) -> None:
        """Write to *file*; *utf8* is whether the text is decoded as UTF-8 if it is valid."""
        self._file = file
        self._ascii = True
        self._decoder = codecs.getincrementaldecoder("utf-8")() if utf8 else None

    def write(self, chunk: bytes, /) -> None:
        """Encode the next bytes again."""
        self._ascii = self._ascii and chunk.isascii()
        self._validate(chunk)
        self._file.write(chunk.decode("latin-1").encode())

    def finish(self) -> None:
        """End the file, or drop it if it equals the bytes of the part."""
        self._validate(b"", final=True)
        if self._ascii or self._decoder is not None:
            self._file.drop()
        else:
            self._file.finish()

    def drop(self) -> None:
        """Discard the file."""
        self._file.drop()

    def _validate(self, chunk: bytes, *, final: bool = False) -> None:
        """Forget the decoder at the first byte that is not UTF-8."""
        try:
            if self._decoder is not None:
                self._decoder.decode(chunk, final)
        except UnicodeDecodeError:
            self._decoder = None


class Base64Reading:
    """Decodes base64: RFC 4648, section 4, with blanks anywhere (RFC 2045, 6.8).

    The result does not depend on how the network cut the body, unlike that of python-multipart's
    decoder (found by fuzzing). Anything else raises FormParserError: lenient decoders differ in
    what they skip.
    """

    def __init__(self, inner: Reading) -> None:
        """Write the decoded bytes to *inner*."""
        self._inner = inner
        self._rest = b""
        self._padded = False

    def write(self, chunk: bytes, /) -> None:
        """Decode the next characters."""
        text = self._rest + chunk.translate(None, _BLANKS)
        whole = len(text) // 4 * 4
        self._rest = text[whole:]
        if not whole:
            return
        if self._padded:
            raise FormParserError("base64 continues after its padding")
        try:
            decoded = binascii.a2b_base64(text[:whole], strict_mode=True)
        except binascii.Error as error:
            raise FormParserError("a part declared as base64 is not base64") from error
        self._padded = text[whole - 1 : whole] == b"="
        self._inner.write(decoded)

    def finish(self) -> None:
        """Raise FormParserError if the input ends in the middle of a group."""
        if self._rest:
            raise FormParserError("base64 ends in the middle of a group")
        self._inner.finish()

    def drop(self) -> None:
        """Discard what is open."""
        self._inner.drop()


class DeclaredLength:
    """Compares the length of a part with its Content-Length, by which aiohttp cuts it."""

    def __init__(self, declared: bytes) -> None:
        """Expect *declared* bytes.  Raises FormParserError."""
        if not re.fullmatch(rb"[0-9]{1,15}", declared):
            raise FormParserError("a part whose Content-Length is not a number")
        self._left = int(declared)

    def write(self, chunk: bytes, /) -> None:
        """Count the next bytes."""
        self._left -= len(chunk)

    def finish(self) -> None:
        """Raise FormParserError if the part has another length."""
        if self._left:
            raise FormParserError("a part with another length than its Content-Length")

    def drop(self) -> None:
        """Keep nothing."""
