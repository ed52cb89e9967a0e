"""What one line of a hash list says, in each of the formats.

text
    ``type value`` or ``type:value``, or a bare value if the caller gives a default type; blank
    lines and whatever follows a ``#`` are passed over.
csv
    The first line names the columns.  Either one column holds the value (and perhaps others the
    type, an id, a category), or every column named after a signal type holds values of it.
    One line is one row: no line breaks in quoted fields.
jsonl
    An object a line: either ``{"type": ..., "value": ..., "id": ..., "category": ...}`` (the last
    two optional, other keys passed over) or signal types as keys, ``{"md5": ..., "pdq": ...,
    "id": ...}``.

A line is taken whole or not at all.  What is wrong with it is said without quoting it: hash
lists are secret.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hashwacht.core.errors import ListError
from hashwacht.core.ports import SignalType
from hashwacht.core.text import is_printable_line

MAX_ID = 256
MAX_CATEGORY = 64
"""Characters in an entry's own id and category."""

_SEPARATOR = re.compile(r"\s*:\s*|\s+")
_SAFE_TO_QUOTE = re.compile(r"(?![0-9a-f]+$)[a-z][a-z0-9_]{1,15}")
_COLUMNS = ("value", "type", "id", "category")


class ListEntry(NamedTuple):
    """One signal of a list; *value* is the bytes of its hexadecimal digits."""

    type: str
    value: bytes
    id: str = ""
    category: str = ""


class MalformedLine(ValueError):
    """A line that is none of its format; the message is the reason."""


@dataclass(frozen=True, slots=True)
class CsvColumns:
    """Names of the columns of a CSV file; empty: there is none."""

    value: str = ""
    type: str = ""
    id: str = ""
    category: str = ""


LineParser = Callable[[str], Sequence[ListEntry]]
"""Gives the entries of a line, none for a comment.  Raises MalformedLine."""


class ListEntryBuilder:
    """Checks what a line says against the known signal types."""

    def __init__(self, types: Mapping[str, SignalType], default_type: str = "") -> None:
        self.types = types
        self._default = default_type

    def __call__(self, kind: str, value: str, label: str = "", category: str = "") -> ListEntry:
        """Make an entry of the parts of a line.  Raises MalformedLine."""
        name = kind.strip().lower() or self._default
        if not name:
            raise MalformedLine("names no signal type, and no default type was given")
        if (signal_type := self.types.get(name)) is None:
            shown = f" {name!r}" if _SAFE_TO_QUOTE.fullmatch(name) else ""
            raise MalformedLine(f"unknown signal type{shown}")
        try:
            raw = bytes.fromhex(signal_type.canonical(value))
        except ValueError:
            raw = b""
        if len(raw) * 8 != signal_type.bits:
            digits = signal_type.bits // 4
            raise MalformedLine(f"not a value of type {name}: {digits} hexadecimal digits expected")
        if not label and not category:
            return ListEntry(name, raw)
        return ListEntry(name, raw, _text(label, "id", MAX_ID), _text(category, "category"))


def text_parser(make: ListEntryBuilder) -> LineParser:
    """Parse ``type value``, ``type:value`` or a bare value."""

    def parse(line: str) -> Sequence[ListEntry]:
        text = line.partition("#")[0].strip()
        if not text:
            return ()
        parts = _SEPARATOR.split(text)
        match parts:
            case [value]:
                return (make("", value),)
            case [kind, value]:
                return (make(kind, value),)
        raise MalformedLine(f"one type and one value expected, found {len(parts)} words")

    return parse


def json_parser(make: ListEntryBuilder) -> LineParser:
    """Parse an object a line."""

    def parse(line: str) -> Sequence[ListEntry]:
        if not line.strip() or line.lstrip().startswith("#"):
            return ()
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            raise MalformedLine("not JSON") from None
        if not isinstance(row, dict):
            raise MalformedLine("not a JSON object")
        label, category = _scalar(row.get("id")), _scalar(row.get("category"))
        if "value" in row:
            pairs = [(_scalar(row.get("type")), row["value"])]
        else:
            pairs = [(key, row[key]) for key in row if key not in _COLUMNS]
        wanted = [(key, _scalar(value)) for key, value in pairs if value is not None]
        if not wanted:
            raise MalformedLine("holds no value")
        return tuple(make(key, value, label, category) for key, value in wanted)

    return parse


def csv_parser(
    make: ListEntryBuilder, header: str, columns: CsvColumns | None, delimiter: str = ""
) -> LineParser:
    """Parse rows under this header.  Raises ListError if it lacks the columns."""
    comma = delimiter or csv_delimiter(header)
    titles = [each.strip() for each in _row(header, comma)]
    places = _places(titles, columns, make.types)

    def parse(line: str) -> Sequence[ListEntry]:
        if not line.strip():
            return ()
        row = _row(line, comma)
        if len(row) != len(titles):
            raise MalformedLine(f"{len(row)} fields where the header names {len(titles)}")
        kind, label, category = (
            "" if at is None else row[at].strip()
            for at in (places.type, places.id, places.category)
        )
        pairs = [(name or kind, row[at]) for name, at in places.values if row[at].strip()]
        if not pairs:
            raise MalformedLine("holds no value")
        return tuple(make(name, value, label, category) for name, value in pairs)

    return parse


def csv_delimiter(header: str) -> str:
    """Guess the delimiter from the header: the commonest of comma, semicolon, tab."""
    return max(",;\t", key=header.count)


def is_header(line: str, types: Iterable[str]) -> bool:
    """Tell if a line could be the header of a CSV file: names only, one of which we know."""
    try:
        row = _row(line, csv_delimiter(line))
    except MalformedLine:
        return False
    titles = {each.strip().lower() for each in row}
    values = any(re.fullmatch("[0-9a-f]{8,}", each) for each in titles)
    return not values and not titles.isdisjoint({*types, "value"})


class _Places(NamedTuple):
    """Where the columns stand; *values*: the type that the title names ("" if none), and where."""

    values: Sequence[tuple[str, int]]
    type: int | None
    id: int | None
    category: int | None


def _places(titles: list[str], columns: CsvColumns | None, types: Iterable[str]) -> _Places:
    lower = [each.lower() for each in titles]

    def place(named: str, usual: str) -> int | None:
        if columns is None:
            return lower.index(usual) if usual in lower else None
        if named and named not in titles:
            raise ListError(
                f"the header has no column {named!r}",
                advice="Look at the first line of the file; upper and lower case matter.",
            )
        return titles.index(named) if named else None

    chosen = columns or CsvColumns()
    value = place(chosen.value, "value")
    values = [(name, lower.index(name)) for name in types if name in lower]
    if value is not None:
        values = [("", value)]
    if not values:
        raise ListError(
            "no column of the header holds values",
            advice="Say which one does, or name columns after signal types: md5, sha1, pdq.",
        )
    others = [
        place(named, usual)
        for named, usual in zip(
            (chosen.type, chosen.id, chosen.category), _COLUMNS[1:], strict=True
        )
    ]
    return _Places(values, *others)


def _row(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error:
        raise MalformedLine("not a row of CSV on one line") from None


def _scalar(value: object) -> str:
    """Give text and whole numbers as text; ids are often numbers."""
    if value is None:
        return ""
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return str(value)
    raise MalformedLine("a field is neither text nor a number")


def _text(text: str, what: str, longest: int = MAX_CATEGORY) -> str:
    """Refuse what could not be shown on a line of its own."""
    if not is_printable_line(text, longest):
        raise MalformedLine(f"the {what} is longer than {longest} characters or not printable")
    return text
