"""The formats of a hash list to import, and the parser of one line of each.

text
    ``type value`` or ``type:value``, or a bare value if there is a default type; blank lines and
    comments from a ``#`` are skipped.
csv
    The first line names the columns.  Either one column contains the value (and others the type,
    an id, a category), or every column named after a signal type contains values of it.
    One line is one row: no line breaks in quoted fields.
jsonl
    One object per line: ``{"type": ..., "value": ..., "id": ..., "category": ...}`` (the last two
    optional, other keys ignored) or signal types as keys, ``{"md5": ..., "pdq": ..., "id": ...}``.

A line is accepted completely or not at all.  Reasons for rejecting one do not quote it: hash lists
are secret.
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
    """A line that does not have the format; the message is the reason."""


@dataclass(frozen=True, slots=True)
class CsvColumns:
    """Names of the columns of a CSV file; empty: none."""

    value: str = ""
    type: str = ""
    id: str = ""
    category: str = ""


LineParser = Callable[[str], Sequence[ListEntry]]
"""Returns the entries of a line, none for a comment.  Raises MalformedLine."""


class ListEntryBuilder:
    """Validates the parts of a line against the known signal types."""

    def __init__(self, types: Mapping[str, SignalType], default_type: str = "") -> None:
        self.types = types
        self._default = default_type

    def __call__(self, kind: str, value: str, label: str = "", category: str = "") -> ListEntry:
        """Build an entry from the parts of a line.  Raises MalformedLine."""
        name = kind.strip().lower() or self._default
        if not name:
            raise MalformedLine("names no signal type, and there is no default type")
        if (signal_type := self.types.get(name)) is None:
            quoted = f" {name!r}" if _SAFE_TO_QUOTE.fullmatch(name) else ""
            raise MalformedLine(f"unknown signal type{quoted}")
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


def text_parser(build: ListEntryBuilder) -> LineParser:
    """Return a parser of ``type value``, ``type:value`` or a bare value."""

    def parse(line: str) -> Sequence[ListEntry]:
        text = line.partition("#")[0].strip()
        if not text:
            return ()
        parts = _SEPARATOR.split(text)
        match parts:
            case [value]:
                return (build("", value),)
            case [kind, value]:
                return (build(kind, value),)
        raise MalformedLine(f"one type and one value expected, found {len(parts)} words")

    return parse


def json_parser(build: ListEntryBuilder) -> LineParser:
    """Return a parser of one object per line."""

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
        values = [(key, _scalar(value)) for key, value in pairs if value is not None]
        if not values:
            raise MalformedLine("contains no value")
        return tuple(build(key, value, label, category) for key, value in values)

    return parse


def csv_parser(
    build: ListEntryBuilder, header: str, columns: CsvColumns | None, delimiter: str = ""
) -> LineParser:
    """Return a parser of rows with this header.  Raises ListError if it lacks the columns."""
    delimiter = delimiter or csv_delimiter(header)
    titles = [title.strip() for title in _row(header, delimiter)]
    indexes = _column_indexes(titles, columns, build.types)

    def parse(line: str) -> Sequence[ListEntry]:
        if not line.strip():
            return ()
        row = _row(line, delimiter)
        if len(row) != len(titles):
            raise MalformedLine(f"{len(row)} fields where the header names {len(titles)}")
        kind, label, category = (
            "" if index is None else row[index].strip()
            for index in (indexes.type, indexes.id, indexes.category)
        )
        pairs = [(name or kind, row[index]) for name, index in indexes.values if row[index].strip()]
        if not pairs:
            raise MalformedLine("contains no value")
        return tuple(build(name, value, label, category) for name, value in pairs)

    return parse


def csv_delimiter(header: str) -> str:
    """Return the most frequent of comma, semicolon and tab in the header."""
    return max(",;\t", key=header.count)


def is_header(line: str, types: Iterable[str]) -> bool:
    """Return whether a line could be a CSV header: names only, at least one of them known."""
    try:
        row = _row(line, csv_delimiter(line))
    except MalformedLine:
        return False
    titles = {title.strip().lower() for title in row}
    values = any(re.fullmatch("[0-9a-f]{8,}", title) for title in titles)
    return not values and not titles.isdisjoint({*types, "value"})


class _ColumnIndexes(NamedTuple):
    """Indexes of the columns; *values*: pairs of the type named by the title and the index."""

    values: Sequence[tuple[str, int]]
    type: int | None
    id: int | None
    category: int | None


def _column_indexes(
    titles: list[str], columns: CsvColumns | None, types: Iterable[str]
) -> _ColumnIndexes:
    lower = [title.lower() for title in titles]

    def index_of(name: str, default: str) -> int | None:
        if columns is None:
            return lower.index(default) if default in lower else None
        if name and name not in titles:
            raise ListError(
                f"the header has no column {name!r}",
                advice="Compare with the first line of the file; column names are case-sensitive.",
            )
        return titles.index(name) if name else None

    names = columns or CsvColumns()
    value = index_of(names.value, "value")
    values = [(name, lower.index(name)) for name in types if name in lower]
    if value is not None:
        values = [("", value)]
    if not values:
        raise ListError(
            "no column of the header contains values",
            advice="Name that column, or call columns after signal types: md5, sha1, pdq.",
        )
    others = [
        index_of(name, default)
        for name, default in zip((names.type, names.id, names.category), _COLUMNS[1:], strict=True)
    ]
    return _ColumnIndexes(values, *others)


def _row(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error:
        raise MalformedLine("not a CSV row on one line") from None


def _scalar(value: object) -> str:
    """Return strings and whole numbers as text; ids are often numbers."""
    if value is None:
        return ""
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return str(value)
    raise MalformedLine("a field is neither a string nor a number")


def _text(text: str, name: str, max_length: int = MAX_CATEGORY) -> str:
    if not is_printable_line(text, max_length):
        raise MalformedLine(f"the {name} is longer than {max_length} characters or not printable")
    return text
