"""Lists of one hash a line: our own, checksum files, hashdeep, and signatures of ClamAV.

::

    md5 VALUE, md5:VALUE, VALUE         a type and a value, or a bare value of the default type
    VALUE  name, VALUE *name            md5sum, sha1sum, sha256sum and md5deep
    MD5 (name) = VALUE                  the same with --tag, the BSD tools, and openssl
    VALUE:size:name                     ClamAV, .hdb and .hsb; the name is the id
    %%%% size,md5,sha256,filename       hashdeep; the columns of the lines that follow

Blank lines and comments from a ``#`` are skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from hashwacht.matching.hashlists.readers.entries import (
    DIGEST_DIGITS,
    ColumnUse,
    Item,
    LeftOut,
    ListEntry,
    ListEntryBuilder,
    MalformedLine,
    RejectedLine,
)
from hashwacht.matching.hashlists.readers.source import ListSource, complete_line, lines_of
from hashwacht.matching.hashlists.readers.uniform_lines import UniformLines

_SEPARATOR = re.compile(r"\s*:\s*|\s+")
_CHECKSUM = re.compile(r"\\?([0-9a-fA-F]{32,128}) [ *].")
_TAGGED = re.compile(r"\\?([A-Za-z][A-Za-z0-9/-]{2,15}) ?\(.*\) ?= ([0-9a-fA-F]{32,128})\s*")
_CLAMAV = re.compile(r"([0-9a-fA-F]{32,64}):(?:\d+|\*):([^:]+)(?::\d+){0,2}\s*")
_HASHDEEP = "%%%%"
_HASHDEEP_FIELDS = frozenset({"size", "filename"})
_OPENSSL_3 = re.compile(r"SHA2-(?=\d)", re.IGNORECASE)


class TextReader:
    """Reads lines; each is one of the forms above."""

    unit = "line"
    columns: tuple[ColumnUse, ...] = ()

    def __init__(self, source: ListSource, build: ListEntryBuilder) -> None:
        self._source, self._parse = source, LineParser(build)
        self._uniform = UniformLines(build)

    def __iter__(self) -> Iterator[Item]:
        """Yield the entries of all lines."""
        number = 0
        for block in self._source.line_blocks():
            values = None if self._parse.has_header else self._uniform.convert(block)
            if values is not None:
                number += values.number
                yield values
                continue
            for line in lines_of(block):
                number += 1
                try:
                    yield from self._parse(complete_line(line))
                except MalformedLine as malformed:
                    yield RejectedLine(number, str(malformed))


class LineParser:
    """Parses one line after the other; a header of hashdeep changes what follows."""

    def __init__(self, build: ListEntryBuilder) -> None:
        self._build = build
        self._hashdeep: list[str] = []

    @property
    def has_header(self) -> bool:
        """Return whether the lines are rows below a header."""
        return bool(self._hashdeep)

    def __call__(self, line: str) -> Sequence[ListEntry | LeftOut]:
        """Return the entries of a line, none for a comment.  Raises MalformedLine."""
        if line.startswith(_HASHDEEP):
            return self._header(line.removeprefix(_HASHDEEP).strip())
        if self._hashdeep:
            return () if line.startswith("##") or not line.strip() else self._row(line)
        if match := _CHECKSUM.match(line):
            return (self._digest(match[1]),)
        if "=" in line and (match := _TAGGED.fullmatch(line)):
            return (self._build.from_name(_OPENSSL_3.sub("SHA", match[1]), match[2]),)
        text = line.partition("#")[0].strip()
        if ":" in text and (match := _CLAMAV.fullmatch(text)):
            return (self._digest(match[1], match[2].strip()),)
        return (self._pair(text),) if text else ()

    def _pair(self, text: str) -> ListEntry:
        parts = _SEPARATOR.split(text)
        match parts:
            case [value]:
                return self._build("", value)
            case [kind, value]:
                return self._build(kind, value)
        raise MalformedLine(f"one type and one value expected, found {len(parts)} words")

    def _digest(self, value: str, label: str = "") -> ListEntry:
        """Return the entry of a digest whose type follows from its length."""
        if not (kind := DIGEST_DIGITS.get(len(value), "")):
            raise MalformedLine(f"no digest of a known type has {len(value)} hexadecimal digits")
        return self._build(kind, value, label)

    def _header(self, text: str) -> Sequence[ListEntry | LeftOut]:
        if not text.upper().startswith("HASHDEEP-"):
            self._hashdeep = [title.strip().lower() for title in text.split(",")]
        elif not self._hashdeep:
            self._hashdeep = ["size", "md5", "sha256", "filename"]
        return ()

    def _row(self, line: str) -> Sequence[ListEntry | LeftOut]:
        fields = line.split(",", len(self._hashdeep) - 1)  # names may contain commas
        if len(fields) != len(self._hashdeep):
            raise MalformedLine(f"{len(fields)} fields where the header names several more")
        items = [
            self._build.from_name(title, value)
            for title, value in zip(self._hashdeep, fields, strict=True)
            if title not in _HASHDEEP_FIELDS
        ]
        if not items:
            raise MalformedLine("the header names no hash")
        return items
