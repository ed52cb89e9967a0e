"""Find where the parts of a multipart body begin and end, and refuse ambiguous bodies.

python-multipart's push parser finds the parts. In addition, nothing may be a delimiter for another
parser: Django starts a part at any delimiter, even in the middle of a line and after the last one;
Werkzeug also accepts a bare LF or CR as the end of a line or header.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError


class StreamSearch:
    """Finds a byte string across chunks: ``remainder_after`` a chunk, then ``advance``.

    *seam* is the end of the previous chunks, one byte shorter than the byte string.
    """

    def __init__(self, needle: bytes) -> None:
        """Search for *needle*, two bytes or more."""
        self._needle, self._keep = needle, len(needle) - 1
        self.seam = b""

    def remainder_after(self, piece: bytes) -> bytes | None:
        """Return the part of *piece* after the first needle; None if none ends in it."""
        if self._needle in self.seam + piece[: self._keep]:
            piece = self.seam + piece
        _, separator, rest = piece.partition(self._needle)
        return rest if separator else None

    def advance(self, piece: bytes) -> None:
        """Remember the end of *piece*, where a needle may begin."""
        keep = self._keep
        self.seam = piece[-keep:] if len(piece) >= keep else (self.seam + piece)[-keep:]


MAX_HEADERS = 32
MAX_HEADER_BYTES = 16 << 10
"""Limits for the headers of one part; browsers send three short ones."""

_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,./:=?-]{1,200}")
"""RFC 2046, 5.1.1, without the blank, which some parsers strip.

Longer than the 70 allowed there: Werkzeug's client sometimes writes 72, and servers accept 200.
"""

_LINE_END = re.compile(rb"[\r\n\0]")
"""Bytes at which some parser ends a header line or its text."""

_PADDING = b" \t\r\n"


class PartHandler(Protocol):
    """Receives the parts of a body.  Every method may raise FormParserError."""

    def on_part_begin(self) -> None:
        """Start a part."""

    def on_header(self, name: bytes, value: bytes) -> None:
        """Receive a header of the part."""

    def on_headers_end(self) -> None:
        """End the headers of the part."""

    def on_part_data(self, piece: bytes) -> None:
        """Receive the next bytes of the part."""

    def on_part_end(self) -> None:
        """End the part."""


class BoundaryScanner:
    """Scans the chunks passed to ``write`` and calls a handler for what they contain."""

    def __init__(self, boundary: bytes, handler: PartHandler) -> None:
        """Scan a body with a plain *boundary*."""
        self._handler = handler
        self._delimiter = b"--" + boundary
        self._on_a_line = b"\r\n" + self._delimiter
        self._padded = re.compile(re.escape(self._delimiter) + rb"[ \t]")
        self._strays = StreamSearch(self._delimiter)
        self._last_delimiter = StreamSearch(self._delimiter + b"--")
        self._name = self._value = self._chunk = b""
        self._begun = self._closed = self._flowing = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._on_part,
                "on_header_field": self._on_header_name,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header,
                "on_headers_finished": handler.on_headers_end,
                "on_part_data": self._on_bytes,
                "on_part_end": handler.on_part_end,
                "on_end": self._on_end,
            },
            max_header_count=MAX_HEADERS,
            max_header_size=MAX_HEADER_BYTES,
        )

    def write(self, chunk: bytes) -> None:
        """Scan the next chunk.  Raises FormParserError."""
        if not self._begun:
            # The parser would handle line breaks before the first delimiter chunk by chunk.
            chunk = chunk.lstrip(b"\r\n")
            self._begun = bool(chunk)
        if not chunk:
            return
        if self._closed:
            self._check_epilogue(chunk)
        elif self._flowing and self._is_inside(chunk):
            self._strays.advance(chunk)
            self._last_delimiter.advance(chunk)
            self._handler.on_part_data(chunk)
        else:
            self._parse(chunk)

    def _is_inside(self, chunk: bytes) -> bool:
        """Return whether *chunk* is entirely content of the part and need not be parsed."""
        at = chunk.rfind(b"\r", -len(self._on_a_line) - 1)
        may_be_cut = at >= 0 and self._on_a_line.startswith(chunk[at:])
        return not may_be_cut and self._strays.remainder_after(chunk) is None

    def _parse(self, chunk: bytes) -> None:
        """Parse *chunk*; the parser itself ignores everything after the last delimiter."""
        joined = self._last_delimiter.seam + chunk
        if self._delimiter in joined and self._padded.search(joined):
            # The parser waits for the end of the line, so the file would not end before.
            raise FormParserError("a delimiter followed by blanks")
        self._chunk, self._flowing = chunk, False
        self._parser.write(chunk)
        if self._closed:
            rest = self._last_delimiter.remainder_after(chunk)
            assert rest is not None
            self._check_epilogue(rest)
        self._last_delimiter.advance(chunk)

    def _check_epilogue(self, rest: bytes) -> None:
        if rest.strip(_PADDING):
            raise FormParserError("bytes after the last delimiter")

    def _on_part(self) -> None:
        self._strays = StreamSearch(self._delimiter)
        self._handler.on_part_begin()

    def _on_header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        name, value = self._name, self._value.strip(b" \t")
        self._name = self._value = b""
        if _LINE_END.search(value) or self._delimiter in name + b":" + value:
            raise FormParserError("a header that some parsers read as more than one line")
        self._handler.on_header(name, value)

    def _on_bytes(self, data: bytes, start: int, end: int) -> None:
        piece = data[start:end]
        if self._strays.remainder_after(piece) is not None:
            raise FormParserError("a delimiter that is not on a line of its own")
        self._strays.advance(piece)
        self._flowing = data is self._chunk and end == len(data)
        self._handler.on_part_data(piece)

    def _on_end(self) -> None:
        self._closed = True


def plain_boundary(options: Mapping[bytes, bytes]) -> bytes:
    """Return the boundary in a content type's *options*; empty if parsers disagree about it."""
    boundary = options.get(b"boundary", b"")
    return boundary if _BOUNDARY.fullmatch(boundary) else b""
