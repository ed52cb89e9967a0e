"""The files in a multipart body, as it comes: python-multipart's push parser, made to tell events.

No I/O.  The form is RFC 7578 on top of RFC 2046.  What is accepted is narrower than what some
applications accept, and whatever is not accepted is :class:`Malformed`: a body that two parsers may
read differently is not one that was checked.  Django begins a part wherever a delimiter stands, in
the middle of a line and behind the last one as well; Werkzeug also where a bare LF or CR ends a
line, and a header too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from hashwacht_plugins.base64_bytes import Base64Bytes
from hashwacht_plugins.events import Event, FileBegins, FileBytes, FileEnds, Malformed
from hashwacht_plugins.search import Search

MAX_HEADERS = 32
MAX_HEADER_BYTES = 16 << 10
"""Of one part; browsers send three headers, each shorter than a file name and some."""

MAX_DEPTH = 3
"""How deep multiparts may lie in multiparts.  Nobody sends even the second one any more."""

_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,./:=?-]{1,70}")
"""RFC 2046, 5.1.1, without the blank, which some parsers cut off."""

_EXTENDED_NAME = re.compile(rb';\s*filename\*(?:\d+\*?)?\s*=\s*"?([^";]*)', re.IGNORECASE)
"""RFC 5987 forms, forbidden in forms (RFC 7578, 4.2) and understood by frameworks."""

_LINE_END = re.compile(rb"[\r\n\0]")
"""What ends a header's line, or its text, for one parser or another."""

_PADDING = b" \t\r\n"

_PLAIN = frozenset({b"", b"7bit", b"8bit", b"binary"})


class _Sink(Protocol):
    def write(self, chunk: bytes, /) -> object:
        """Take bytes of a part."""


class Parts:
    """``receive`` chunks, then ``finish``; both give the events so far."""

    def __init__(self, boundary: bytes, depth: int = 1) -> None:
        """Read a body with this *boundary*, a plain one; *depth* is 1 for the body itself."""
        self._depth = depth
        self._events: list[Event] = []
        self._begun = self._closed = self._over = False
        self._delimiter = b"--" + boundary
        self._strays = Search(self._delimiter)
        self._last_delimiter = Search(self._delimiter + b"--")
        self._name, self._value = b"", b""
        self._headers: dict[bytes, bytes] = {}
        self._sink: _Sink | None = None
        self._nested: Parts | None = None
        self._file = False
        self._parser = self._make(boundary)

    def _make(self, boundary: bytes) -> MultipartParser:
        return MultipartParser(
            boundary,
            {
                "on_part_begin": self._on_part,
                "on_header_field": self._on_header_name,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header,
                "on_headers_finished": self._on_headers,
                "on_part_data": self._on_bytes,
                "on_part_end": self._on_part_end,
                "on_end": self._on_end,
            },
            max_header_count=MAX_HEADERS,
            max_header_size=MAX_HEADER_BYTES,
        )

    def receive(self, chunk: bytes) -> list[Event]:
        """Read on."""
        if not self._begun:
            # The parser would search line breaks before the first delimiter chunk by chunk.
            chunk = chunk.lstrip(b"\r\n")
            self._begun = bool(chunk)
        if chunk and not self._over:
            try:
                self._read(chunk)
            except FormParserError as error:
                self._break(str(error))
        return self._told()

    def _read(self, chunk: bytes) -> None:
        """Let the parser have it; it does not care for what comes behind the last delimiter."""
        if self._closed:
            rest: bytes | None = chunk
        else:
            self._parser.write(chunk)
            if not self._closed:
                self._last_delimiter.skip(chunk)
                return
            rest = self._last_delimiter.behind(chunk)
        if rest is None or rest.strip(_PADDING):
            raise FormParserError("bytes behind the last delimiter")

    def finish(self) -> list[Event]:
        """End; a part that was still open counts as complete, as it does for frameworks."""
        if not self._over:
            try:
                self._on_part_end()
            except FormParserError as error:
                self._break(str(error))
        return self._told()

    def _told(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _break(self, detail: str) -> None:
        if not self._over:
            self._events.append(Malformed(detail))
        self._over = True

    def write(self, chunk: bytes) -> int:
        """Take bytes of a file, from a decoder or as they are."""
        if chunk:
            self._events.append(FileBytes(bytes(chunk)))
        return len(chunk)

    def _on_part(self) -> None:
        self._headers.clear()
        self._strays = Search(self._delimiter)

    def _on_end(self) -> None:
        self._closed = True

    def _on_header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        name, value = self._name.lower(), self._value.strip(b" \t")
        if name in self._headers:
            raise FormParserError("a part repeats a header: which one counts is anybody's guess")
        if _LINE_END.search(value) or self._delimiter in self._name + b":" + value:
            raise FormParserError("a header that some parsers take for more than one line")
        self._headers[name] = value
        self._name, self._value = b"", b""

    def _on_headers(self) -> None:
        """Decide what the bytes of this part are."""
        if not self._headers:
            raise FormParserError("a part without headers: Werkzeug reads on for them")
        kind, options = parse_options_header(self._headers.get(b"content-type"))
        disposition = self._headers.get(b"content-disposition", b"")
        _, named = parse_options_header(disposition)
        if b"filename" in disposition.lower():  # however it is written: some framework reads it
            self._file = True
            extended = _EXTENDED_NAME.search(disposition)
            name = named.get(b"filename", extended[1] if extended else b"")
            field = named.get(b"name", b"")
            self._events.append(FileBegins(_text(field), _text(name), _text(kind)))
            self._sink = self._decoder()
        elif kind.startswith(b"multipart/"):
            if self._depth == MAX_DEPTH:
                raise FormParserError("multiparts nested too deep")
            boundary = plain_boundary(options)
            if not boundary:
                raise FormParserError("a nested multipart without a plain boundary")
            self._nested = Parts(boundary, self._depth + 1)

    def _decoder(self) -> _Sink:
        """RFC 7578 deprecates transfer encodings; Django and others still decode base64.

        Of quoted-printable some decode, some do not: what the application gets is unknown.
        """
        encoding = self._headers.get(b"content-transfer-encoding", b"").lower()
        if encoding in _PLAIN:
            return self
        if encoding == b"base64":
            return Base64Bytes(self)
        raise FormParserError("a transfer encoding of a part that is not understood everywhere")

    def _on_bytes(self, data: bytes, start: int, end: int) -> None:
        piece = data[start:end]
        if self._strays.behind(piece) is not None:
            raise FormParserError("a delimiter that does not stand on a line of its own")
        if self._sink is not None:
            self._sink.write(piece)
        elif self._nested is not None:
            self._pass_up(self._nested.receive(piece))

    def _on_part_end(self) -> None:
        if isinstance(self._sink, Base64Bytes):
            self._sink.finish()
        if self._nested is not None:
            self._pass_up(self._nested.finish())
        if self._file:
            self._events.append(FileEnds())
        self._sink, self._nested, self._file = None, None, False

    def _pass_up(self, events: list[Event]) -> None:
        for each in events:
            if isinstance(each, Malformed):
                raise FormParserError(each.detail)
            self._events.append(each)


def plain_boundary(options: Mapping[bytes, bytes]) -> bytes:
    """Give the boundary among the *options* of a content type; none if not all read it alike."""
    boundary = options.get(b"boundary", b"")
    return boundary if _BOUNDARY.fullmatch(boundary) else b""


def _text(raw: bytes) -> str:
    """Read what a client wrote; any bytes will do."""
    return raw.decode("utf-8", "backslashreplace")
