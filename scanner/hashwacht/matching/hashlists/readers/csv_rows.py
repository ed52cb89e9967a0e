"""Lists as tables with a header: our own, NSRL RDS 2, MISP, and whatever a spreadsheet exports.

Every column must be understood: it contains values of the type in its title, or the value, type,
id, category or quality of the entry, or it describes the file, or the caller excludes it.  A
column that is left out without notice may be the only one that knows a file.

One line is one row: no line breaks in quoted fields.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hashwacht.core.errors import ListError
from hashwacht.matching.hashlists.readers.entries import (
    DESCRIPTIONS,
    ColumnUse,
    Item,
    LeftOut,
    ListEntry,
    ListEntryBuilder,
    MalformedLine,
    RejectedLine,
    hash_name,
    left_out_hash,
    normal_form,
    quality_of,
    show_names,
)
from hashwacht.matching.hashlists.readers.misp import MISP_COLUMNS, misp_items
from hashwacht.matching.hashlists.readers.source import ListSource, complete_line

FIELDS: Mapping[str, frozenset[str]] = {
    "value": frozenset(
        {"value", "hash", "hashvalue", "hashdigest", "indicator", "rawindicator", "signal"}
    ),
    "type": frozenset({"type", "signaltype", "hashtype", "algorithm", "indicatortype"}),
    "id": frozenset({"id", "entryid", "bankcontentid"}),
    "category": frozenset({"category"}),
    "quality": frozenset({"quality", "pdqquality", "hashquality"}),
}
"""Titles and keys, in normal form, of the fields of an entry."""

ALL_OTHERS = "*"
"""As an excluded column: every column that is not understood."""

NSRL_2 = frozenset({"sha1", "md5", "crc32", "filename", "filesize"})
_INDICATORS = frozenset({"indicator", "rawindicator"})
_VALUE = re.compile(r"[0-9a-fA-F]{8,}")
_NSRL_CODES = frozenset({"productcode", "opsystemcode", "specialcode"})


@dataclass(frozen=True, slots=True)
class CsvColumns:
    """Names of the columns of a CSV file; empty: none."""

    value: str = ""
    type: str = ""
    id: str = ""
    category: str = ""


class CsvReader:
    """Reads a header and rows."""

    unit = "line"

    def __init__(
        self,
        source: ListSource,
        build: ListEntryBuilder,
        columns: CsvColumns | None = None,
        delimiter: str = "",
        excluded: frozenset[str] = frozenset(),
    ) -> None:
        self._source, self._build = source, build
        self._mapped, self._delimiter, self._excluded = columns, delimiter, excluded
        self.columns: tuple[ColumnUse, ...] = ()

    def __iter__(self) -> Iterator[Item]:
        """Yield the entries of all rows.  Raises ListError for a header with unknown columns."""
        parse: RowParser | None = None
        for number, line in enumerate(self._source.lines(), 1):
            try:
                line = complete_line(line)  # noqa: PLW2901  # the same line
                if parse is not None:
                    yield from parse(line)
                elif line.strip() and not line.startswith("#"):
                    parse = RowParser(
                        self._build, line, self._mapped, self._delimiter, self._excluded
                    )
                    self.columns = parse.columns
            except MalformedLine as malformed:
                yield RejectedLine(number, str(malformed))


class RowParser:
    """Parses the rows below a header.  Raises ListError for a header with unknown columns."""

    def __init__(
        self,
        build: ListEntryBuilder,
        header: str,
        mapped: CsvColumns | None = None,
        delimiter: str = "",
        excluded: frozenset[str] = frozenset(),
    ) -> None:
        self._build = build
        self._delimiter = delimiter or csv_delimiter(header)
        titles = [title.strip() for title in parse_row(header, self._delimiter)]
        if any(map(_VALUE.fullmatch, titles)):
            raise ListError(
                "the first line of the table is no header, it contains a value",
                advice="Add a first line with the titles of its columns, such as md5,filename.",
            )
        self._width = len(titles)
        self.columns = _uses(build, titles, mapped, excluded)
        uses = [column.use for column in self.columns]
        self._misp = {title.lower() for title in titles} >= MISP_COLUMNS and mapped is None
        self._exchange = is_exchange(titles)
        self._values = [(use, at) for at, use in enumerate(uses) if use in build.types]
        self._values += [("", at) for at, use in enumerate(uses) if use == "value"]
        self._at = {use: at for at, use in enumerate(uses) if use in FIELDS}
        if not self._values:
            raise ListError(
                "no column of the header contains values",
                advice="Name that column with --column value=TITLE, or call columns after signal"
                " types: md5, sha1, pdq.",
            )
        if "value" in uses and "type" not in uses and not build.default_type:
            raise ListError(
                "no column names the signal type of the values in column"
                f" {show_names([titles[self._at['value']]])}",
                advice="Use --type with their signal type, such as --type md5.",
            )

    def __call__(self, line: str) -> Sequence[ListEntry | LeftOut]:
        """Return the entries of a row, none for a blank line.  Raises MalformedLine."""
        if not line.strip():
            return ()
        row = parse_row(line, self._delimiter)
        if len(row) != self._width:
            raise MalformedLine(f"{len(row)} fields where the header names {self._width}")
        if self._misp:
            return misp_items(
                self._build,
                self._field(row, "type"),
                self._field(row, "value"),
                self._field(row, "id"),
            )
        kind, label, category = (self._field(row, use) for use in ("type", "id", "category"))
        pairs = [(name or kind, row[at]) for name, at in self._values if row[at].strip()]
        if not pairs:
            raise MalformedLine("contains no value")
        if self._exchange and not self._build.resolve(kind) and (other := hash_name(kind)):
            return (left_out_hash(other),)
        quality = quality_of(self._field(row, "quality"))
        return [self._build(name, value, label, category, quality) for name, value in pairs]

    def _field(self, row: list[str], use: str) -> str:
        at = self._at.get(use)
        return "" if at is None else row[at].strip()


def is_exchange(titles: Iterable[str]) -> bool:
    """Return whether columns are those of ThreatExchange, which has many more than are needed."""
    forms = {normal_form(title) for title in titles}
    return not (_INDICATORS.isdisjoint(forms) or FIELDS["type"].isdisjoint(forms))


def csv_delimiter(header: str) -> str:
    """Return the most frequent of comma, semicolon and tab in the header."""
    return max(",;\t", key=header.count)


def is_header(line: str, build: ListEntryBuilder) -> bool:
    """Return whether a line could be a CSV header: names only, at least one of them known."""
    try:
        row = parse_row(line, csv_delimiter(line))
    except MalformedLine:
        return False
    titles = [title.strip() for title in row]
    if any(map(_VALUE.fullmatch, titles)):
        return False
    known = FIELDS["value"] | FIELDS["type"]
    return any(
        build.resolve(title) or hash_name(title) or normal_form(title) in known for title in titles
    )


def parse_row(line: str, delimiter: str) -> list[str]:
    """Return the fields of a row.  Raises MalformedLine."""
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error:
        raise MalformedLine("not a CSV row on one line") from None


def _uses(
    build: ListEntryBuilder, titles: list[str], mapped: CsvColumns | None, excluded: frozenset[str]
) -> tuple[ColumnUse, ...]:
    """Return what each column is used for.  Raises ListError for those that are not understood."""
    uses = _mapped_uses(titles, mapped) if mapped is not None else {}
    forms = frozenset(normal_form(title) for title in titles)
    described = DESCRIPTIONS
    if forms >= NSRL_2:
        described |= _NSRL_CODES | {"crc32"}
    misp = {title.lower() for title in titles} >= MISP_COLUMNS
    exchange = is_exchange(titles)
    unknown = []
    for title in dict.fromkeys(titles):
        if title in uses:
            continue
        form = normal_form(title)
        use = _use(build, title, form, mapped, misp=misp)
        if title in excluded:
            use = ""
        elif not (use or misp or form in described or ALL_OTHERS in excluded) and (
            hash_name(title) or not exchange
        ):
            unknown.append(title)
        uses[title] = use
    if unknown:
        raise _unknown(unknown)
    return tuple(ColumnUse(title, uses[title]) for title in titles)


def _use(
    build: ListEntryBuilder, title: str, form: str, mapped: CsvColumns | None, *, misp: bool
) -> str:
    """Return the signal type or field that a title means, empty if none."""
    if misp:
        return {"uuid": "id", "type": "type", "value": "value"}.get(title.lower(), "")
    if mapped is not None:  # the named columns decide; types are taken if no value is named
        return "" if mapped.value else build.resolve(title)
    if name := build.resolve(title):
        return name
    return next((use for use, forms in FIELDS.items() if form in forms), "")


def _mapped_uses(titles: list[str], mapped: CsvColumns) -> dict[str, str]:
    uses = {}
    for use in ("value", "type", "id", "category"):
        if not (title := getattr(mapped, use)):
            continue
        if title not in titles:
            raise ListError(
                f"the header has no column {title!r}",
                advice="Compare with the first line of the file; column names are case-sensitive.",
            )
        uses[title] = use
    return uses


def _unknown(unknown: list[str]) -> ListError:
    hashes = [title for title in unknown if hash_name(title)]
    types = f" ({show_names(hashes)}: no such signal type here)" if hashes else ""
    return ListError(
        f"unknown {'column' if len(unknown) == 1 else 'columns'} {show_names(unknown)}{types};"
        " nothing was imported",
        advice="Map them with --column FIELD=TITLE, or leave them out with"
        f" --ignore-column {unknown[0]!r} (or '*' for all of them).",
    )
