"""Find the files in a multipart body: chunks in, events out, no I/O.

The format is RFC 7578 on top of RFC 2046. What parsers read differently is read in every way, or
reported as :class:`MalformedBody`, because the application might not store what was checked. This
is narrower than what some applications accept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

from python_multipart.exceptions import FormParserError

from hashwacht.multipart.content_type import nested_boundary
from hashwacht.multipart.events import BodyEvent, FileStart, MalformedBody
from hashwacht.multipart.framing import BoundaryScanner
from hashwacht.multipart.part_headers import PartHeaders
from hashwacht.multipart.readings import (
    Base64Reading,
    DeclaredLength,
    EndedLineReading,
    FileReading,
    Reading,
    ReencodedReading,
    TextFieldReading,
)

MAX_DEPTH = 3
"""Maximum nesting of multiparts.  Even a second level is obsolete."""


class MultipartReader:
    """Reads one body: ``receive`` chunks, then ``finish``; both return the events so far."""

    def __init__(
        self,
        boundary: bytes,
        *,
        charset: str = "",
        numbers: Iterator[int] | None = None,
        depth: int = 1,
    ) -> None:
        """Read a body with a plain *boundary*.

        *charset* is that by which the fields of a form are decoded, *numbers* are those of
        readings; *depth* is 1 for the body itself.
        """
        self._charset, self._depth = charset, depth
        self._numbers = count() if numbers is None else numbers
        self._scanner = BoundaryScanner(boundary, self)
        self._events: list[BodyEvent] = []
        self._headers = PartHeaders()
        self._readings: list[Reading] = []
        self._over = False

    def receive(self, chunk: bytes) -> list[BodyEvent]:
        """Parse the next chunk."""
        if not self._over:
            try:
                self._scanner.write(chunk)
            except FormParserError as error:
                self._break(str(error))
        return self._take_events()

    def finish(self) -> list[BodyEvent]:
        """End the body; a file in it is complete for some frameworks, so its bytes are checked."""
        if not self._over:
            try:
                self.on_part_end()
                self._scanner.finish()
            except FormParserError as error:
                self._break(str(error))
        return self._take_events()

    def abandon(self) -> list[BodyEvent]:
        """Discard the files that are open; the rest of the body is not read."""
        self._drop()
        return self._take_events()

    def _drop(self) -> None:
        for reading in self._readings:
            reading.drop()
        self._readings = []
        self._over = True

    def _take_events(self) -> list[BodyEvent]:
        events = self._events.copy()
        self._events.clear()  # the readings append to this list
        return events

    def _break(self, detail: str) -> None:
        self._drop()
        self._events.append(MalformedBody(detail))

    def on_part_begin(self) -> None:
        """Forget the headers of the previous part."""
        self._headers = PartHeaders()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store a header of the part."""
        self._headers.add(name, value)

    def on_headers_end(self) -> None:
        """Determine from the headers how the part may be read."""
        headers = self._headers
        headers.finish()
        if headers.length is not None:
            self._readings.append(DeclaredLength(headers.length))
        self._readings += self._content()
        if headers.is_base64:
            self._readings += [Base64Reading(reading) for reading in self._content()]
        if headers.type.startswith(b"multipart/"):
            self._readings += self._nested()

    def _content(self) -> list[Reading]:
        """Return the readings of the bytes as they are."""
        readings: list[Callable[[], Reading]] = [self._file]
        if self._charset and not self._headers.has_name:
            readings.append(self._reencoded)
        if self._headers.is_file:
            return [open_file() for open_file in readings]
        return [TextFieldReading(open_file) for open_file in readings]

    def _file(self) -> Reading:
        return FileReading(self._start(), self._events.append)

    def _start(self) -> FileStart:
        headers = self._headers
        return FileStart(
            _text(headers.field),
            _text(headers.file_name),
            _text(headers.type),
            next(self._numbers),
        )

    def _reencoded(self) -> Reading:
        return ReencodedReading(self._file(), utf8=self._charset == "utf-8")

    def _nested(self) -> list[Reading]:
        headers = self._headers
        boundary = nested_boundary(headers.type_options)
        if headers.is_file and not headers.type_options.get(b"boundary"):
            return [EndedLineReading(self._start(), self._events.append)]  # a saved web page
        if not boundary:
            raise FormParserError("a nested multipart without a plain boundary")
        if self._depth == MAX_DEPTH:
            raise FormParserError("multiparts are nested too deeply")
        if headers.is_base64:
            raise FormParserError("a nested multipart with a transfer encoding")
        inner = MultipartReader(boundary, numbers=self._numbers, depth=self._depth + 1)
        return [_Nested(inner, self._events)]

    def on_part_data(self, piece: bytes) -> None:
        """Pass on bytes of the part to all its readings."""
        for reading in self._readings:
            reading.write(piece)

    def on_part_end(self) -> None:
        """End the part in all its readings."""
        for reading in self._readings:
            reading.finish()
        self._readings = []


class _Nested:
    """The reading of a part as a multipart."""

    def __init__(self, inner: MultipartReader, events: list[BodyEvent]) -> None:
        self._inner, self._events = inner, events

    def write(self, chunk: bytes, /) -> None:
        self._pass_up(self._inner.receive(chunk))

    def finish(self) -> None:
        self._pass_up(self._inner.finish())

    def drop(self) -> None:
        self._pass_up(self._inner.abandon())

    def _pass_up(self, events: list[BodyEvent]) -> None:
        for event in events:
            if isinstance(event, MalformedBody):
                raise FormParserError(event.detail)
            self._events.append(event)


def _text(raw: bytes) -> str:
    """Decode text of the client; any bytes are accepted."""
    return raw.decode("utf-8", "backslashreplace")
