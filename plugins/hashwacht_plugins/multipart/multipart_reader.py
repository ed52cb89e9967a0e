"""The files in a multipart body, as it comes, told as events.

No I/O.  The form is RFC 7578 on top of RFC 2046.  What is accepted is narrower than what some
applications accept, and whatever is not accepted is :class:`MalformedBody`: a body that two
parsers may read differently is not one that was checked.
"""

from __future__ import annotations

import re
from typing import Protocol

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from hashwacht_plugins.multipart.base64_stream import Base64Decoder
from hashwacht_plugins.multipart.events import (
    BodyEvent,
    FileChunk,
    FileEnd,
    FileStart,
    MalformedBody,
)
from hashwacht_plugins.multipart.framing import BoundaryScanner, plain_boundary

MAX_DEPTH = 3
"""How deep multiparts may lie in multiparts.  Nobody sends even the second one any more."""

_EXTENDED_NAME = re.compile(rb';\s*filename\*(?:\d+\*?)?\s*=\s*"?([^";]*)', re.IGNORECASE)
"""RFC 5987 forms, forbidden in forms (RFC 7578, 4.2) and understood by frameworks."""

_FILE_TYPE = re.compile(rb"(image|video)/|application/octet-stream$")
"""What a part without a file name says it is where it is a file: RFC 2387, APIs of our own day."""

_PLAIN = frozenset({b"", b"7bit", b"8bit", b"binary"})


class _Sink(Protocol):
    def write(self, chunk: bytes, /) -> object:
        """Take bytes of a part."""


class MultipartReader:
    """``receive`` chunks, then ``finish``; both give the events so far."""

    def __init__(self, boundary: bytes, depth: int = 1) -> None:
        """Read a body with this *boundary*, a plain one; *depth* is 1 for the body itself."""
        self._depth = depth
        self._framing = BoundaryScanner(boundary, self)
        self._events: list[BodyEvent] = []
        self._headers: dict[bytes, bytes] = {}
        self._sink: _Sink | None = None
        self._nested: MultipartReader | None = None
        self._file = self._over = False

    def receive(self, chunk: bytes) -> list[BodyEvent]:
        """Read on."""
        if not self._over:
            try:
                self._framing.write(chunk)
            except FormParserError as error:
                self._break(str(error))
        return self._told()

    def finish(self) -> list[BodyEvent]:
        """End; a part that was still open counts as complete, as it does for frameworks."""
        if not self._over:
            try:
                self.on_part_end()
            except FormParserError as error:
                self._break(str(error))
        return self._told()

    def _told(self) -> list[BodyEvent]:
        events, self._events = self._events, []
        return events

    def _break(self, detail: str) -> None:
        self._events.append(MalformedBody(detail))
        self._over = True

    def write(self, chunk: bytes) -> int:
        """Take bytes of a file, from a decoder or as they are."""
        if chunk:
            self._events.append(FileChunk(bytes(chunk)))
        return len(chunk)

    def on_part_begin(self) -> None:
        """Wait for its headers."""
        self._headers.clear()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        name = name.lower()
        if name in self._headers:
            raise FormParserError("a part repeats a header: which one counts is anybody's guess")
        self._headers[name] = value

    def on_headers_end(self) -> None:
        """Decide what the bytes of this part are."""
        if not self._headers:
            raise FormParserError("a part without headers: Werkzeug reads on for them")
        kind, options = parse_options_header(self._headers.get(b"content-type"))
        disposition = self._headers.get(b"content-disposition", b"")
        _, named = parse_options_header(disposition)
        # However a file name is written: some framework reads it.
        if b"filename" in disposition.lower() or _FILE_TYPE.match(kind):
            self._file = True
            extended = _EXTENDED_NAME.search(disposition)
            name = named.get(b"filename", extended[1] if extended else b"")
            field = named.get(b"name", b"")
            self._events.append(FileStart(_text(field), _text(name), _text(kind)))
            self._sink = self._decoder()
        elif kind.startswith(b"multipart/"):
            self._nested = self._parts_in(plain_boundary(options))

    def _parts_in(self, boundary: bytes) -> MultipartReader:
        if self._depth == MAX_DEPTH:
            raise FormParserError("multiparts nested too deep")
        if not boundary:
            raise FormParserError("a nested multipart without a plain boundary")
        return MultipartReader(boundary, self._depth + 1)

    def _decoder(self) -> _Sink:
        """RFC 7578 deprecates transfer encodings; Django and others still decode base64.

        Of quoted-printable some decode, some do not: what the application gets is unknown.
        """
        encoding = self._headers.get(b"content-transfer-encoding", b"").lower()
        if encoding in _PLAIN:
            return self
        if encoding == b"base64":
            return Base64Decoder(self)
        raise FormParserError("a transfer encoding of a part that is not understood everywhere")

    def on_part_data(self, piece: bytes) -> None:
        """Take bytes of a file, or of a multipart in this one; fields are of no interest."""
        if self._sink is not None:
            self._sink.write(piece)
        elif self._nested is not None:
            self._pass_up(self._nested.receive(piece))

    def on_part_end(self) -> None:
        """End a file."""
        if isinstance(self._sink, Base64Decoder):
            self._sink.finish()
        if self._nested is not None:
            self._pass_up(self._nested.finish())
        if self._file:
            self._events.append(FileEnd())
        self._sink, self._nested, self._file = None, None, False

    def _pass_up(self, events: list[BodyEvent]) -> None:
        for each in events:
            if isinstance(each, MalformedBody):
                raise FormParserError(each.detail)
            self._events.append(each)


def _text(raw: bytes) -> str:
    """Read what a client wrote; any bytes will do."""
    return raw.decode("utf-8", "backslashreplace")
