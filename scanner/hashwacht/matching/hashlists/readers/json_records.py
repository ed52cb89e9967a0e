"""Lists as JSON: which objects of a document are entries, by the members they have.

own             ``{"type": ..., "value": ..., "id": ..., "category": ..., "quality": ...}``, or
                signal types as keys, ``{"md5": ..., "pdq": ..., "id": ...}``
ThreatExchange  ``{"type": "HASH_MD5", "indicator": ...}``, and what Hasher-Matcher-Actioner,
                StopNCII and Tech Against Terrorism write in the same way
Project VIC     ``{"MediaID": ..., "Category": ..., "MD5": ..., "SHA1": ...}``, also CAID
MISP            attributes and warning lists
STIX 2          the hashes of files and artifacts, and indicators that name them

Objects of formats that others define may have any other members.  In our own, every member must be
understood, or it may be the only hash that knows a file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from hashwacht.core.errors import ListError
from hashwacht.matching.hashlists.readers.csv_rows import ALL_OTHERS, FIELDS
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
    scalar_text,
    show_names,
)
from hashwacht.matching.hashlists.readers.json_stream import (
    MAX_DEPTH,
    JsonStream,
    JsonValue,
    MalformedJson,
)
from hashwacht.matching.hashlists.readers.misp import (
    attribute_items,
    is_misp_attribute,
    warning_items,
)
from hashwacht.matching.hashlists.readers.project_vic import VicMedia
from hashwacht.matching.hashlists.readers.source import ListSource, complete_line
from hashwacht.matching.hashlists.readers.stix import is_stix, stix_items
from hashwacht.matching.hashlists.readers.text_lines import LineParser

_WARNING_LIST = "list"
_BARE_LISTS = frozenset({"", "hashes", "values", "signals", "data"})
_INDICATORS = frozenset({"indicator", "raw_indicator", "hashValue", "hash_digest"})
_WITHDRAWN = frozenset({"withdrawn", "deleted", "non_malicious"})
_SIGNALS = "signals"
_NO_ENTRIES = frozenset(
    {
        *("MediaFiles", "Exifs", "Exif", "AlternativeHashes", "descriptors", "paging", "metadata"),
        *("Galaxy", "GalaxyCluster", "Tag", "Tags", "Sighting", "RelatedEvent", "Org", "Orgc"),
        *("ShadowAttribute", "RelatedAttribute", "Feed", "EventReport", "external_references"),
        *("matching_attributes", "CSPFeedbacks", "extensions", "tags"),
    }
)
"""Members whose contents are no entries."""


class JsonRecords:
    """Finds the entries of decoded values, and converts them."""

    def __init__(
        self, build: ListEntryBuilder, categories: frozenset[int], excluded: frozenset[str]
    ) -> None:
        self._build, self._excluded = build, excluded
        self._media = VicMedia(build, categories)
        self._line = LineParser(build)

    def candidates(self, found: JsonValue, depth: int = 0) -> Iterator[JsonValue]:
        """Yield the objects and strings of a value that are entries, or should be."""
        if found.key in _NO_ENTRIES:
            return
        if depth > MAX_DEPTH:
            yield found  # what is in it is not looked for, and must not be missing unnoticed
        elif isinstance(found.value, list):
            for child in found.value:
                inside = JsonValue(found.key, child, found.top, listed=True)
                yield from self.candidates(inside, depth + 1)
        elif isinstance(found.value, dict):
            yield from self._candidates_of_object(found, found.value, depth)
        elif self._is_listed_string(found) or (found.top and not found.listed):
            yield found
        else:
            self._media.note_model(found.key, found.value)

    def _candidates_of_object(
        self, found: JsonValue, record: dict[str, Any], depth: int
    ) -> Iterator[JsonValue]:
        for name, value in record.items():
            self._media.note_model(name, value)
        inner = [name for name, value in record.items() if isinstance(value, (dict, list))]
        if self._is_entry(record) or not (inner or found.partial):
            yield found
            return
        for name in inner:
            yield from self.candidates(JsonValue(name, record[name], top=False), depth + 1)

    def _is_listed_string(self, found: JsonValue) -> bool:
        if not (found.listed and isinstance(found.value, str)):
            return False
        known = found.key in _BARE_LISTS or found.key == _WARNING_LIST
        return known or bool(self._build.resolve(found.key))

    def items(self, found: JsonValue) -> Sequence[ListEntry | LeftOut]:
        """Return what an entry contributes.  Raises MalformedLine."""
        value = found.value
        if isinstance(value, str) and found.listed:
            return self._string(found.key, value)
        if not isinstance(value, dict):
            raise MalformedLine("not a JSON object")
        if not found.top and not self._is_entry(value):
            return (LeftOut("objects without a hash"),)
        return self._object(value)

    def _object(self, record: dict[str, Any]) -> Sequence[ListEntry | LeftOut]:
        if is_stix(record):
            return stix_items(self._build, record)
        if is_misp_attribute(record):
            return attribute_items(self._build, record)
        if self._media.is_medium(record):
            return self._media.items(record)
        if not _INDICATORS.isdisjoint(record):
            return self._indicator(record)
        return self._own(record)

    def _is_entry(self, record: dict[str, Any]) -> bool:
        if is_stix(record) or is_misp_attribute(record) or self._media.is_medium(record):
            return True
        if not _INDICATORS.isdisjoint(record) or isinstance(record.get(_SIGNALS), dict):
            return True
        return any(
            self._build.resolve(name)
            or (normal_form(name) in FIELDS["value"] and not isinstance(value, dict))
            for name, value in record.items()
            if not isinstance(value, list)
        )

    def _string(self, key: str, value: str) -> Sequence[ListEntry | LeftOut]:
        if key == _WARNING_LIST:
            return warning_items(self._build, value)
        if kind := self._build.resolve(key):
            return (self._build(kind, value),)
        return self._line(value)

    def _indicator(self, record: dict[str, Any]) -> Sequence[ListEntry | LeftOut]:
        """Return the entry of an exchange: a value, its type, and whether it still holds."""
        status = scalar_text(record.get("hashStatus") or record.get("status")).lower()
        if record.get("should_delete") is True or status in _WITHDRAWN:
            return (LeftOut("withdrawn or deleted entries"),)
        value = next(record[name] for name in sorted(_INDICATORS) if name in record)
        if isinstance(value, dict):  # the descriptor of ThreatExchange nests its indicator
            record, value = {**value, "id": record.get("id")}, value.get("indicator")
        names = ("type", "signal_type", "signalType", "algorithm", "indicator_type")
        kind = next((scalar_text(record[name]) for name in names if record.get(name)), "")
        if kind and not (name := self._build.resolve(kind)):
            return (left_out_hash(hash_name(kind) or "other"),)
        label = scalar_text(record.get("id"))
        return (self._build(name if kind else "", scalar_text(value), label),)

    def _own(self, record: dict[str, Any]) -> Sequence[ListEntry | LeftOut]:
        """Return the entries of an object with our own members, or with signal types as keys."""
        fields, pairs, unknown = dict[str, Any](), list[tuple[str, Any]](), list[str]()
        for name, value in record.items():
            form = normal_form(name)
            if kind := self._build.resolve(name):
                pairs.append((kind, value))
            elif use := next((use for use, forms in FIELDS.items() if form in forms), ""):
                fields[use] = value
            elif name == _SIGNALS and isinstance(value, dict):
                pairs += value.items()
            elif not self._is_excluded(name, form):
                unknown.append(name)
        if unknown:
            raise MalformedLine(
                f"unknown {'key' if len(unknown) == 1 else 'keys'} {show_names(unknown)}"
            )
        if fields.get("value") is not None:
            pairs.append((scalar_text(fields.get("type")), fields["value"]))
        values = [(kind, scalar_text(value)) for kind, value in pairs if value is not None]
        if not values:
            raise MalformedLine("contains no value")
        label, category = scalar_text(fields.get("id")), scalar_text(fields.get("category"))
        quality = quality_of(scalar_text(fields.get("quality")))
        return [self._build(kind, value, label, category, quality) for kind, value in values]

    def _is_excluded(self, name: str, form: str) -> bool:
        return form in DESCRIPTIONS or not self._excluded.isdisjoint({name, ALL_OTHERS})


class JsonReader:
    """Reads one JSON document of any length, or several."""

    unit = "entry"
    columns: tuple[ColumnUse, ...] = ()

    def __init__(self, source: ListSource, records: JsonRecords) -> None:
        self._source, self._records = source, records

    def __iter__(self) -> Iterator[Item]:
        """Yield all entries.  Raises ListError if the document is not JSON."""
        number = 0
        try:
            for found in JsonStream(self._source.text()):
                for candidate in self._records.candidates(found):
                    number += 1
                    try:
                        yield from self._records.items(candidate)
                    except MalformedLine as malformed:
                        yield RejectedLine(number, str(malformed))
        except MalformedJson as malformed:
            raise ListError(
                f"the JSON is damaged or incomplete after {number} entries: {malformed}",
                advice="Get the file again; for one object per line use --format jsonl.",
            ) from malformed


class JsonLinesReader:
    """Reads one JSON object per line; a damaged line does not affect the others."""

    unit = "line"
    columns: tuple[ColumnUse, ...] = ()

    def __init__(self, source: ListSource, records: JsonRecords) -> None:
        self._source, self._records = source, records

    def __iter__(self) -> Iterator[Item]:
        """Yield the entries of all lines."""
        for number, line in enumerate(self._source.lines(), 1):
            try:
                yield from self.parse(line)
            except MalformedLine as malformed:
                yield RejectedLine(number, str(malformed))

    def parse(self, line: str) -> Sequence[ListEntry | LeftOut]:
        """Return the entries of a line, none for a comment.  Raises MalformedLine."""
        if not complete_line(line).strip() or line.lstrip().startswith("#"):
            return ()
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            raise MalformedLine("not JSON") from None
        if not isinstance(value, dict):
            raise MalformedLine("not a JSON object")
        found = JsonValue("", value, top=True, listed=False)
        items: list[ListEntry | LeftOut] = []
        for candidate in self._records.candidates(found):
            items += self._records.items(candidate)
        return items
