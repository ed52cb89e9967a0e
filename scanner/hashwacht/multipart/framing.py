"""Find where the parts of a multipart body begin and end, and refuse ambiguous bodies.

python-multipart's push parser finds the parts. In addition, nothing may be a delimiter for another
parser: Sanic splits a body at the boundary without its hyphens, wherever it is; Django starts a
part at any delimiter, even in the middle of a line and after the last one; Werkzeug also accepts a
bare LF or CR as the end of a line or header.
"""

from __future__ import annotations

import re
from typing import Protocol

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError


class StreamSearch:
    """Finds a byte string across chunks: ``remainder_after`` a chunk, then ``advance``.

    *seam* is the end of the previous chunks, one byte shorter than the byte string.
    """

    def __init__(self, needle: bytes) -> None:
        """Search for *needle*, one byte or more."""
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
        joined = piece if len(piece) >= keep else self.seam + piece
        self.seam = joined[len(joined) - keep :] if len(joined) > keep else joined


MAX_HEADERS = 32
MAX_HEADER_BYTES = 16 << 10
"""Limits for the headers of one part; browsers send three short ones."""

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
        self._boundary = boundary
        self._delimiter = b"--" + boundary
        self._on_a_line = b"\r\n" + self._delimiter
        self._padded = re.compile(re.escape(self._delimiter) + rb"[ \t]")
        self._strays = StreamSearch(boundary)
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

    def finish(self) -> None:
        """End the body.  Raises FormParserError if it has no last delimiter, unless empty."""
        if self._begun and not self._closed:
            raise FormParserError("the body ends before its last delimiter")

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
        self._strays = StreamSearch(self._boundary)
        self._handler.on_part_begin()

    def _on_header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        name, value = self._name, self._value.strip(b" \t")
        self._name = self._value = b""
        if self._boundary in name + b": " + value:
            raise FormParserError("the boundary in a header")
        self._handler.on_header(name, value)

    def _on_bytes(self, data: bytes, start: int, end: int) -> None:
        piece = data[start:end]
        if self._strays.remainder_after(piece) is not None:
            raise FormParserError("the boundary inside content: choose a longer, random one")
        self._strays.advance(piece)
        self._flowing = data is self._chunk and end == len(data)
        self._handler.on_part_data(piece)

    def _on_end(self) -> None:
        self._closed = True
