"""Reads a hash list to import: detects its format and yields its entries line by line.

The file is read once, in bounded memory; ``list_formats`` describes the formats.  Lines end in LF
or CRLF, the encoding is UTF-8 with or without a byte order mark; other lines are malformed.
"""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Iterator, Mapping
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
"""Bytes in a line; a longer one is malformed and never held in memory."""

_BLOCK = 1 << 18


class ListFormat(StrEnum):
    """The format of the lines of a list."""

    TEXT = "text"
    CSV = "csv"
    JSONL = "jsonl"


@dataclass(frozen=True, slots=True)
class ParseOptions:
    """How to read a file: *format* None detects it; *columns* and *delimiter* are for CSV."""

    format: ListFormat | None = None
    default_type: str = ""
    columns: CsvColumns | None = None
    delimiter: str = ""


class RejectedLine(NamedTuple):
    """A malformed line: its number, from 1, and the reason."""

    line: int
    reason: str


class ListFile:
    """The entries and malformed lines of one source, in order; it is read once.

    *lines* and *bytes* count what was read so far; *format* is the detected format.
    """

    def __init__(
        self, source: BinaryIO, options: ParseOptions, types: Mapping[str, SignalType]
    ) -> None:
        if options.default_type and options.default_type not in types:
            raise ListError(
                f"unknown signal type {options.default_type!r}",
                advice="Use one of " + ", ".join(sorted(types)) + ".",
            )
        self.lines = self.bytes = 0
        self.format: ListFormat | None = options.format
        self._source, self._options = source, options
        self._build = ListEntryBuilder(types, options.default_type)
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """SHA-256 of what was read so far, as 64 hexadecimal digits."""
        return self._digest.hexdigest()

    def __iter__(self) -> Iterator[ListEntry | RejectedLine]:
        """Yield all entries.  Raises ListError: unreadable, or a header without the columns."""
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
        """Select the parser by the first line with content; return what of it is an entry."""
        if not line.strip() or line.lstrip().startswith("#"):
            return None, ""
        self.format = self.format or self._detect_format(line)
        if self.format is ListFormat.CSV:
            columns, delimiter = self._options.columns, self._options.delimiter
            return csv_parser(self._build, line, columns, delimiter), ""
        parser = json_parser if self.format is ListFormat.JSONL else text_parser
        return parser(self._build), line

    def _detect_format(self, line: str) -> ListFormat:
        if line.lstrip().startswith("{"):
            return ListFormat.JSONL
        configured = self._options.columns is not None or bool(self._options.delimiter)
        if configured or is_header(line, self._build.types):
            return ListFormat.CSV
        return ListFormat.TEXT

    def _raw_lines(self) -> Iterator[bytes]:
        """Yield the lines of the source; of an endless one only the beginning is kept."""
        rest = b""
        while block := self._read():
            self.bytes += len(block)
            self._digest.update(block)
            *complete, rest = (rest + block).split(b"\n")
            yield from complete
            rest = rest[: MAX_LINE + 2]
        if rest:
            yield rest

    def _read(self) -> bytes:
        try:
            return self._source.read(_BLOCK)
        except OSError as error:
            raise ListError(
                f"the list cannot be read: {error.strerror}", advice="Check the file and its disk."
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
