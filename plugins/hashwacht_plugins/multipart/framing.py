"""Where the parts of a multipart body begin and end, with one reading only.

python-multipart's push parser finds the parts.  Beyond what it refuses, nothing may be a delimiter
for anybody else: Django begins a part wherever one stands, in the middle of a line and behind the
last one as well; Werkzeug also where a bare LF or CR ends a line, and a header too.

Finding something in bytes that come in pieces, as if they were one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError


class StreamSearch:
    """Look ``behind`` what is wanted in a piece, then ``go_on`` to the next one.

    *seam* is how the pieces so far end: one byte fewer than are wanted.
    """

    def __init__(self, wanted: bytes) -> None:
        """Look for *wanted*, two bytes or more."""
        self._wanted, self._keep = wanted, len(wanted) - 1
        self.seam = b""

    def remainder_after(self, piece: bytes) -> bytes | None:
        """Return the part of *piece* after the first *wanted*; None if it does not end here."""
        if self._wanted in self.seam + piece[: self._keep]:
            piece = self.seam + piece
        _, found, rest = piece.partition(self._wanted)
        return rest if found else None

    def advance(self, piece: bytes) -> None:
        """Remember how *piece* ends: what is wanted may begin there."""
        keep = self._keep
        self.seam = piece[-keep:] if len(piece) >= keep else (self.seam + piece)[-keep:]


MAX_HEADERS = 32
MAX_HEADER_BYTES = 16 << 10
"""Of one part; browsers send three headers, each shorter than a file name and some."""

_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,./:=?-]{1,200}")
"""RFC 2046, 5.1.1, without the blank, which some parsers cut off.

Longer than the 70 it allows: Werkzeug's own client writes 72 at times, and servers take 200.
"""

_LINE_END = re.compile(rb"[\r\n\0]")
"""What ends a header's line, or its text, for one parser or another."""

_PADDING = b" \t\r\n"


class PartHandler(Protocol):
    """Who is told what stands between the delimiters.  Each may raise FormParserError."""

    def on_part_begin(self) -> None:
        """Begin with a part."""

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header of the part."""

    def on_headers_end(self) -> None:
        """Take note that all its headers were told."""

    def on_part_data(self, piece: bytes) -> None:
        """Take the next bytes of the part."""

    def on_part_end(self) -> None:
        """Take note that all its bytes were told."""


class BoundaryScanner:
    """``write`` chunks; the *reader* is told what is in them, in order."""

    def __init__(self, boundary: bytes, reader: PartHandler) -> None:
        """Read a body with this *boundary*, a plain one."""
        self._reader = reader
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
                "on_headers_finished": reader.on_headers_end,
                "on_part_data": self._on_bytes,
                "on_part_end": reader.on_part_end,
                "on_end": self._on_end,
            },
            max_header_count=MAX_HEADERS,
            max_header_size=MAX_HEADER_BYTES,
        )

    def write(self, chunk: bytes) -> None:
        """Read on.  Raises FormParserError."""
        if not self._begun:
            # The parser would search line breaks before the first delimiter chunk by chunk.
            chunk = chunk.lstrip(b"\r\n")
            self._begun = bool(chunk)
        if not chunk:
            return
        if self._closed:
            self._ends_with(chunk)
        elif self._flowing and self._is_inside(chunk):
            self._strays.advance(chunk)
            self._last_delimiter.advance(chunk)
            self._reader.on_part_data(chunk)
        else:
            self._parse(chunk)

    def _is_inside(self, chunk: bytes) -> bool:
        """Return whether *chunk* is wholly inside the part and needs no second search."""
        at = chunk.rfind(b"\r", -len(self._on_a_line) - 1)
        may_be_cut = at >= 0 and self._on_a_line.startswith(chunk[at:])
        return not may_be_cut and self._strays.remainder_after(chunk) is None

    def _parse(self, chunk: bytes) -> None:
        """Have the parser read it; it does not care for what comes behind the last delimiter."""
        joined = self._last_delimiter.seam + chunk
        if self._delimiter in joined and self._padded.search(joined):
            # The parser waits for the end of the line, and the file would have no end until then.
            raise FormParserError("a delimiter with blanks behind it")
        self._chunk, self._flowing = chunk, False
        self._parser.write(chunk)
        if self._closed:
            rest = self._last_delimiter.remainder_after(chunk)
            assert rest is not None
            self._ends_with(rest)
        self._last_delimiter.advance(chunk)

    def _ends_with(self, rest: bytes) -> None:
        if rest.strip(_PADDING):
            raise FormParserError("bytes behind the last delimiter")

    def _on_part(self) -> None:
        self._strays = StreamSearch(self._delimiter)
        self._reader.on_part_begin()

    def _on_header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        name, value = self._name, self._value.strip(b" \t")
        self._name = self._value = b""
        if _LINE_END.search(value) or self._delimiter in name + b":" + value:
            raise FormParserError("a header that some parsers take for more than one line")
        self._reader.on_header(name, value)

    def _on_bytes(self, data: bytes, start: int, end: int) -> None:
        piece = data[start:end]
        if self._strays.remainder_after(piece) is not None:
            raise FormParserError("a delimiter that does not stand on a line of its own")
        self._strays.advance(piece)
        self._flowing = data is self._chunk and end == len(data)
        self._reader.on_part_data(piece)

    def _on_end(self) -> None:
        self._closed = True


def plain_boundary(options: Mapping[bytes, bytes]) -> bytes:
    """Return the boundary in a content type's *options*; empty if parsers disagree about it."""
    boundary = options.get(b"boundary", b"")
    return boundary if _BOUNDARY.fullmatch(boundary) else b""
