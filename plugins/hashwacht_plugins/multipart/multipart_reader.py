"""Find the files in a multipart body: chunks in, events out, no I/O.

The format is RFC 7578 on top of RFC 2046. Whatever two parsers may read differently is reported as
:class:`MalformedBody`, because the application might not store what was checked. This is narrower
than what some applications accept.
"""

from __future__ import annotations

import binascii
import re
from typing import Protocol

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from hashwacht_plugins.multipart.events import (
    BodyEvent,
    FileChunk,
    FileEnd,
    FileStart,
    MalformedBody,
)
from hashwacht_plugins.multipart.framing import BoundaryScanner, plain_boundary

MAX_DEPTH = 3
"""Maximum nesting of multiparts.  Even a second level is obsolete."""

_EXTENDED_NAME = re.compile(rb';\s*filename\*(?:\d+\*?)?\s*=\s*"?([^";]*)', re.IGNORECASE)
"""RFC 5987 file names: forbidden in forms (RFC 7578, 4.2), but frameworks understand them."""

_FILE_TYPE = re.compile(rb"(image|video)/|application/octet-stream$")
"""Content types of parts that are files even without a file name: RFC 2387, current APIs."""

_PLAIN = frozenset({b"", b"7bit", b"8bit", b"binary"})
_BLANKS = b" \t\r\n"


class _Sink(Protocol):
    def write(self, chunk: bytes, /) -> object:
        """Receive bytes of a part."""


class Base64Decoder:
    """Decodes base64 into *sink*: RFC 4648, section 4, with blanks anywhere (RFC 2045, 6.8).

    The result does not depend on how the network cut the body, unlike that of python-multipart's
    decoder (found by fuzzing). Anything else raises FormParserError: lenient decoders differ in
    what they skip.
    """

    def __init__(self, sink: _Sink) -> None:
        self._sink = sink
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
        self._sink.write(decoded)

    def finish(self) -> None:
        """Raise FormParserError if the input ends in the middle of a group."""
        if self._rest:
            raise FormParserError("base64 ends in the middle of a group")


class MultipartReader:
    """Reads one body: ``receive`` chunks, then ``finish``; both return the events so far."""

    def __init__(self, boundary: bytes, depth: int = 1) -> None:
        """Read a body with a plain *boundary*; *depth* is 1 for the body itself."""
        self._depth = depth
        self._scanner = BoundaryScanner(boundary, self)
        self._events: list[BodyEvent] = []
        self._headers: dict[bytes, bytes] = {}
        self._sink: _Sink | None = None
        self._nested: MultipartReader | None = None
        self._file = self._over = False

    def receive(self, chunk: bytes) -> list[BodyEvent]:
        """Parse the next chunk."""
        if not self._over:
            try:
                self._scanner.write(chunk)
            except FormParserError as error:
                self._break(str(error))
        return self._take_events()

    def finish(self) -> list[BodyEvent]:
        """End the body; an open part counts as complete, as it does for frameworks."""
        if not self._over:
            try:
                self.on_part_end()
            except FormParserError as error:
                self._break(str(error))
        return self._take_events()

    def _take_events(self) -> list[BodyEvent]:
        events, self._events = self._events, []
        return events

    def _break(self, detail: str) -> None:
        self._events.append(MalformedBody(detail))
        self._over = True

    def write(self, chunk: bytes) -> int:
        """Add an event for bytes of a file, decoded if necessary."""
        if chunk:
            self._events.append(FileChunk(bytes(chunk)))
        return len(chunk)

    def on_part_begin(self) -> None:
        """Forget the headers of the previous part."""
        self._headers.clear()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store a header of the part."""
        name = name.lower()
        if name in self._headers:
            raise FormParserError(
                "a part repeats a header: parsers disagree about which one counts"
            )
        self._headers[name] = value

    def on_headers_end(self) -> None:
        """Determine from the headers whether the part is a file, a multipart or a field."""
        if not self._headers:
            raise FormParserError(
                "a part without headers: Werkzeug would continue to look for them"
            )
        kind, options = parse_options_header(self._headers.get(b"content-type"))
        disposition = self._headers.get(b"content-disposition", b"")
        _, parameters = parse_options_header(disposition)
        # Any spelling of a file name counts: some framework reads it.
        if b"filename" in disposition.lower() or _FILE_TYPE.match(kind):
            self._file = True
            extended = _EXTENDED_NAME.search(disposition)
            name = parameters.get(b"filename", extended[1] if extended else b"")
            field = parameters.get(b"name", b"")
            self._events.append(FileStart(_text(field), _text(name), _text(kind)))
            self._sink = self._decoder()
        elif kind.startswith(b"multipart/"):
            self._nested = self._nested_reader(plain_boundary(options))

    def _nested_reader(self, boundary: bytes) -> MultipartReader:
        if self._depth == MAX_DEPTH:
            raise FormParserError("multiparts are nested too deeply")
        if not boundary:
            raise FormParserError("a nested multipart without a plain boundary")
        return MultipartReader(boundary, self._depth + 1)

    def _decoder(self) -> _Sink:
        """Return where the bytes of the file go: Django and others still decode base64.

        RFC 7578 deprecates transfer encodings. Frameworks disagree about quoted-printable, so that
        the content which the application gets is unknown.
        """
        encoding = self._headers.get(b"content-transfer-encoding", b"").lower()
        if encoding in _PLAIN:
            return self
        if encoding == b"base64":
            return Base64Decoder(self)
        raise FormParserError("a transfer encoding of a part that not every framework decodes")

    def on_part_data(self, piece: bytes) -> None:
        """Pass on bytes of a file or a nested multipart; fields are ignored."""
        if self._sink is not None:
            self._sink.write(piece)
        elif self._nested is not None:
            self._pass_up(self._nested.receive(piece))

    def on_part_end(self) -> None:
        """End the part, and the file or multipart in it."""
        if isinstance(self._sink, Base64Decoder):
            self._sink.finish()
        if self._nested is not None:
            self._pass_up(self._nested.finish())
        if self._file:
            self._events.append(FileEnd())
        self._sink, self._nested, self._file = None, None, False

    def _pass_up(self, events: list[BodyEvent]) -> None:
        for event in events:
            if isinstance(event, MalformedBody):
                raise FormParserError(event.detail)
            self._events.append(event)


def _text(raw: bytes) -> str:
    """Decode text of the client; any bytes are accepted."""
    return raw.decode("utf-8", "backslashreplace")
