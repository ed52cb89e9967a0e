"""File hashes in STIX 2: files, artifacts, and indicators whose pattern names hashes of a file.

Source: OASIS, STIX 2.1, sections 6.2 and 6.7 (``hashes``), 4.7 (Indicator) and 9 (Patterning).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from hashwacht.matching.hashlists.readers.entries import (
    LeftOut,
    ListEntry,
    ListEntryBuilder,
    MalformedLine,
    scalar_text,
)

_OBJECTS = "objects"
_HASHED = frozenset({"file", "artifact"})
_TYPE = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")
_OBJECT_PATH = r"(?:file|artifact):hashes\.(?:'([^']*)'|\"([^\"]*)\"|([A-Za-z0-9_-]+))"
_EQUAL = re.compile(_OBJECT_PATH + r"\s*=\s*'([^']*)'")
_IN = re.compile(_OBJECT_PATH + r"\s+IN\s*\(([^)]*)\)", re.IGNORECASE)
_HASHES = re.compile(r":hashes\.")
_QUOTED = re.compile(r"'([^']*)'")


def is_stix(record: dict[str, Any]) -> bool:
    """Return whether an object is a STIX object that is not merely a list of others."""
    kind = record.get("type")
    if not isinstance(kind, str) or _OBJECTS in record:
        return False
    return isinstance(record.get("hashes"), dict) or str(record.get("id")).startswith(f"{kind}--")


def stix_items(build: ListEntryBuilder, record: dict[str, Any]) -> Sequence[ListEntry | LeftOut]:
    """Return what a STIX object contributes.  Raises MalformedLine."""
    kind, label = scalar_text(record["type"]), scalar_text(record.get("id"))
    if record.get("revoked") is True:
        return (LeftOut("revoked objects"),)
    if kind == "indicator":
        return _indicator(build, record, label)
    if kind not in _HASHED:
        shown = kind if _TYPE.fullmatch(kind) else "another type"
        return (LeftOut(f"objects of type {shown}"),)
    hashes = record.get("hashes")
    if not isinstance(hashes, dict) or not hashes:
        return (LeftOut("files without a hash"),)
    return [build.from_name(name, scalar_text(value), label) for name, value in hashes.items()]


def _indicator(
    build: ListEntryBuilder, record: dict[str, Any], label: str
) -> Sequence[ListEntry | LeftOut]:
    if record.get("pattern_type", "stix") != "stix":
        return (LeftOut("indicators in another pattern language"),)
    pattern = scalar_text(record.get("pattern"))
    if not (mentioned := len(_HASHES.findall(pattern))):
        return (LeftOut("indicators without a hash of a file"),)
    comparisons = list(_comparisons(pattern))
    if len(comparisons) != mentioned:
        raise MalformedLine("the pattern compares a hash in a way that is not understood")
    return [build.from_name(name, value, label) for name, values in comparisons for value in values]


def _comparisons(pattern: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the name and the values of each comparison that demands a hash."""
    for match in _EQUAL.finditer(pattern):
        yield match[1] or match[2] or match[3] or "", [match[4]]
    for match in _IN.finditer(pattern):
        yield match[1] or match[2] or match[3] or "", _QUOTED.findall(match[4])
