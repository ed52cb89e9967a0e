"""Find the fields of a URL-encoded form that may be files: chunks in, events out, no I/O.

FastAPI's ``bytes = File()`` accepts such a field, as UTF-8. Short text is never hashed.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from itertools import count

from python_multipart.exceptions import FormParserError

from hashwacht.multipart.events import BodyEvent, FileStart, MalformedBody
from hashwacht.multipart.readings import FileReading, Reading, TextFieldReading

_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_UNESCAPED = re.compile(rb"[;\x80-\xff]")
"""Bytes that browsers escape; some parsers end a field at a semicolon, or decode as Latin-1."""


class UrlencodedReader:
    """Reads one form: ``receive`` chunks, then ``finish``; both return the events so far."""

    def __init__(self, numbers: Iterator[int] | None = None) -> None:
        """Read a form; *numbers* are those of readings."""
        self._numbers = count() if numbers is None else numbers
        self._events: list[BodyEvent] = []
        self._rest = b""
        self._in_value = self._unescaped = self._any_file = self._over = False
        self._value = TextFieldReading(self._file)

    def receive(self, chunk: bytes) -> list[BodyEvent]:
        """Parse the next chunk."""
        if not self._over:
            data = self._rest + chunk
            cut = data.rfind(b"%", max(0, len(data) - 2))
            self._rest = data[cut:] if cut >= 0 else b""
            self._parse(data[: len(data) - len(self._rest)])
        return self._take_events()

    def finish(self) -> list[BodyEvent]:
        """End the form."""
        if not self._over:
            self._parse(self._rest + b"&")
        return self._take_events()

    def abandon(self) -> list[BodyEvent]:
        """Discard the file that is open; the rest of the form is not read."""
        self._over = True
        self._value.drop()
        return self._take_events()

    def _take_events(self) -> list[BodyEvent]:
        events = self._events.copy()
        self._events.clear()  # the readings append to this list
        return events

    def _parse(self, data: bytes) -> None:
        try:
            self._split(data)
        except (FormParserError, UnicodeDecodeError) as error:
            self._over = True
            self._value.drop()
            self._events.append(MalformedBody(str(error)))

    def _split(self, data: bytes) -> None:
        self._unescaped = self._unescaped or bool(_UNESCAPED.search(data))
        for number, piece in enumerate(data.split(b"&")):
            if number:
                self._end_field()
            self._add(piece)
        if self._unescaped and self._any_file:
            raise FormParserError("a field that is not escaped as browsers do")

    def _add(self, piece: bytes) -> None:
        """Add bytes to the name or the value of the field."""
        if not self._in_value:
            _, separator, piece = piece.partition(b"=")
            self._in_value = bool(separator)
        if self._in_value and piece:
            plain = piece.replace(b"+", b" ")
            self._value.write(_ESCAPE.sub(lambda escape: bytes.fromhex(escape[1].decode()), plain))

    def _end_field(self) -> None:
        self._value.finish()
        self._value = TextFieldReading(self._file)
        self._in_value = False

    def _file(self) -> Reading:
        self._any_file = True
        return _Utf8Reading(
            FileReading(FileStart(reading=next(self._numbers)), self._events.append)
        )


class _Utf8Reading:
    """A file of valid UTF-8: parsers replace everything else by different characters."""

    def __init__(self, file: Reading) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def write(self, chunk: bytes, /) -> None:
        """Pass on the next bytes.  Raises UnicodeDecodeError."""
        self._decoder.decode(chunk)
        self._file.write(chunk)

    def finish(self) -> None:
        """End the file.  Raises UnicodeDecodeError."""
        self._decoder.decode(b"", final=True)
        self._file.finish()

    def drop(self) -> None:
        """Discard the file."""
        self._file.drop()
