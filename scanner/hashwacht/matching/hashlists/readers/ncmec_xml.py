"""Entries of NCMEC's hash sharing service, as its answers (XML) contain them.

The classification of an entry becomes its category, ``ncmec-a1``, its member and id the id.
Deleted entries are left out.  A document type declaration, and with it every entity of its own, is
refused.

Source: NCMEC, Hash Sharing API v2 (``entries``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from xml.parsers import expat

from hashwacht.core.errors import ListError
from hashwacht.matching.hashlists.readers.entries import (
    ColumnUse,
    Item,
    LeftOut,
    ListEntry,
    ListEntryBuilder,
    MalformedLine,
    RejectedLine,
    normal_form,
)
from hashwacht.matching.hashlists.readers.source import ListSource

_ENTRIES = frozenset({"image", "video", "file"})
_DELETED = "deleted"
_FINGERPRINTS = "fingerprints"
_ROOT = "queryResult"
_MAX_DEPTH = 32
_MAX_TEXT = 1 << 16
_MAX_HASHES = 64


class NcmecReader:
    """Reads the entries of one answer."""

    unit = "entry"
    columns: tuple[ColumnUse, ...] = ()

    def __init__(self, source: ListSource, build: ListEntryBuilder) -> None:
        self._source, self._build = source, build
        self._path: list[str] = []
        self._text = ""
        self._fields: dict[str, str] = {}
        self._hashes: list[tuple[str, str]] = []
        self._finished: deque[tuple[str, dict[str, str], list[tuple[str, str]]]] = deque()

    def __iter__(self) -> Iterator[Item]:
        """Yield all entries.  Raises ListError if it is not such an answer."""
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = _refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        number = 0
        try:
            for block in self._source.blocks():
                parser.Parse(block)
                while self._finished:
                    number += 1
                    try:
                        yield from self._items(*self._finished.popleft())
                    except MalformedLine as malformed:
                        yield RejectedLine(number, str(malformed))
            parser.Parse(b"", True)  # "is final", positional only
        except expat.ExpatError as error:
            raise ListError(
                f"the XML is damaged or incomplete after {number} entries:"
                f" {expat.ErrorString(error.code)}",
                advice="Get the file again.",
            ) from error

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(" ")[2]
        if not self._path and local != _ROOT:
            raise ListError(
                "the file is XML, but no answer of NCMEC's hash sharing service",
                advice="Convert it to CSV or JSON lines; see `hashwacht lists import --help`.",
            )
        self._path.append(local)
        if len(self._path) > _MAX_DEPTH:
            raise ListError("the XML is nested too deeply", advice="Get the file again.")
        self._text = ""
        if local in _ENTRIES or local.startswith(_DELETED):
            self._fields, self._hashes = {}, []
        if local == "member":
            self._fields["member"] = attributes.get("id", "")

    def _characters(self, text: str) -> None:
        if len(self._text) + len(text) > _MAX_TEXT:
            raise ListError("an element of the XML is too long", advice="Get the file again.")
        self._text += text

    def _end(self, _: str) -> None:
        local = self._path.pop()
        outer = self._path[-1] if self._path else ""
        if outer == _FINGERPRINTS:
            if len(self._hashes) == _MAX_HASHES:
                raise ListError(
                    f"an entry of the XML has more than {_MAX_HASHES} hashes",
                    advice="Get the file again.",
                )
            self._hashes.append((local, self._text.strip()))
        elif outer in _ENTRIES and local in {"id", "classification"}:
            self._fields[local] = self._text.strip()
        elif local in _ENTRIES or (local.startswith(_DELETED) and outer):
            self._finished.append((local, self._fields, self._hashes))
        self._text = ""

    def _items(
        self, kind: str, fields: dict[str, str], hashes: list[tuple[str, str]]
    ) -> Sequence[ListEntry | LeftOut]:
        if kind.startswith(_DELETED):
            return (LeftOut("withdrawn or deleted entries"),)
        label = "/".join(part for part in (fields.get("member"), fields.get("id")) if part)
        category = normal_form(fields.get("classification", ""))
        category = f"ncmec-{category}" if category else ""
        items = [self._build.from_name(name, value, label, category) for name, value in hashes]
        if not items:
            raise MalformedLine("contains no value")
        return items


def _refuse(*_: object) -> None:
    raise ListError(
        "the XML contains a document type declaration, which hash lists do not need",
        advice="Get the file from its publisher again.",
    )
