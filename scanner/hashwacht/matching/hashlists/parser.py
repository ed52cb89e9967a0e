"""Reading a hash list somebody hands us: which format it is, and its entries, line by line.

The whole file passes once, in bounded memory; formats are those of
``list_formats``.  Lines end in LF or CRLF, the encoding is UTF-8 with or without
a byte order mark; a line that is not UTF-8 is malformed.
"""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO, NamedTuple

from hashwacht.core.errors import ListError
from hashwacht.core.ports import SignalType
from hashwacht.matching.hashlists.list_formats import (
    CsvColumns,
    LineParser,
    ListEntry,
    ListEntryBuilder,
    MalformedLine,
    csv_parser,
    is_header,
    json_parser,
    text_parser,
)

MAX_LINE = 1 << 16
"""Bytes in a line; what is longer is malformed, and never held in memory."""

_BLOCK = 1 << 18


class ListFormat(StrEnum):
    """How the lines of a list are written."""

    TEXT = "text"
    CSV = "csv"
    JSONL = "jsonl"


@dataclass(frozen=True, slots=True)
class ParseOptions:
    """How to read a file: *format* None sniffs it; *columns* and *delimiter* are for CSV."""

    format: ListFormat | None = None
    default_type: str = ""
    columns: CsvColumns | None = None
    delimiter: str = ""


class RejectedLine(NamedTuple):
    """A line that could not be taken: its number, from 1, and why."""

    line: int
    reason: str


class ListFile:
    """The entries and malformed lines of one source, in order; read once.

    *lines* and *bytes* say how far the reading is, *format* what it was found to be.
    """

    def __init__(
        self, source: BinaryIO, reading: ParseOptions, types: Mapping[str, SignalType]
    ) -> None:
        """Raise ListError if the default type is unknown."""
        if reading.default_type and reading.default_type not in types:
            raise ListError(
                f"unknown signal type {reading.default_type!r}",
                advice="Use one of " + ", ".join(sorted(types)) + ".",
            )
        self.lines = 0
        self.bytes = 0
        self.format: ListFormat | None = reading.format
        self._source = source
        self._reading = reading
        self._make = ListEntryBuilder(types, reading.default_type)
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Of what has been read so far, as 64 hexadecimal digits."""
        return self._digest.hexdigest()

    def __iter__(self) -> Iterator[ListEntry | RejectedLine]:
        """Give what each line says.  Raises ListError: unreadable, a header without the columns."""
        parse: LineParser | None = None
        for raw in self._raw_lines():
            self.lines += 1
            try:
                line = _decode(raw, first=self.lines == 1)
                if parse is None:
                    parse, line = self._parser(line)
                if parse is not None:
                    yield from parse(line)
            except MalformedLine as malformed:
                yield RejectedLine(self.lines, str(malformed))

    def _parser(self, line: str) -> tuple[LineParser | None, str]:
        """Choose by the first line that says something; give back what of it is an entry."""
        if not line.strip() or line.lstrip().startswith("#"):
            return None, ""
        self.format = self.format or self._sniffed(line)
        if self.format is ListFormat.CSV:
            reading = self._reading
            return csv_parser(self._make, line, reading.columns, reading.delimiter), ""
        by_format: dict[ListFormat, Callable[[ListEntryBuilder], LineParser]] = {
            ListFormat.TEXT: text_parser,
            ListFormat.JSONL: json_parser,
        }
        return by_format[self.format](self._make), line

    def _sniffed(self, line: str) -> ListFormat:
        if line.lstrip().startswith("{"):
            return ListFormat.JSONL
        given = self._reading.columns is not None or bool(self._reading.delimiter)
        if given or is_header(line, self._make.types):
            return ListFormat.CSV
        return ListFormat.TEXT

    def _raw_lines(self) -> Iterator[bytes]:
        """Cut the source into lines; of an endless one only the beginning is kept."""
        rest = b""
        while block := self._read():
            self.bytes += len(block)
            self._digest.update(block)
            *whole, rest = (rest + block).split(b"\n")
            yield from whole
            rest = rest[: MAX_LINE + 2]
        if rest:
            yield rest

    def _read(self) -> bytes:
        try:
            return self._source.read(_BLOCK)
        except OSError as error:
            raise ListError(
                f"the list cannot be read: {error.strerror}", advice="Check the file or its disk."
            ) from error


def _decode(raw: bytes, *, first: bool) -> str:
    raw = raw.removesuffix(b"\r")
    if first:
        raw = raw.removeprefix(codecs.BOM_UTF8)
    if len(raw) > MAX_LINE:
        raise MalformedLine(f"longer than {MAX_LINE} bytes")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise MalformedLine("not UTF-8") from None
