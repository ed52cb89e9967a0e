"""Media of Project VIC (VICS 1.x and 2.0) and CAID, the JSON that forensic tools exchange.

The category of a medium becomes the category of its entries, ``vic-1`` or ``caid-1``, so that a
policy can distinguish them.  Only illegal categories are taken unless others are named: files of
category 0 are not pertinent, and a null or 5 (US) is not categorised yet.

Source: Project VIC, VICSDATAMODEL 1.3 and 2.0 (``Media``, ``MediaFiles``, ``AlternativeHashes``).
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
    hash_name,
    left_out_hash,
    scalar_text,
)

ILLEGAL = frozenset({1, 2, 3})
NOT_PERTINENT = frozenset({0})
"""The categories that are imported by default: into a list, and into a known-good list."""

_MODEL_KEYS = ("@odata.context", "odata.metadata", "odata.context")
_MODEL = re.compile(r"projectvic|vicsdatamodel|caid", re.IGNORECASE)
_BRITISH = re.compile(r"/UK/|CAID", re.IGNORECASE)
_MEDIUM = frozenset(
    {
        *("MediaID", "MediaSize", "MediaFiles", "IsPrecategorized", "VictimIdentified"),
        *("OffenderIdentified", "IsDistributed", "RelativeFilePath", "AlternativeHashes"),
    }
)
_CATEGORY = "Category"
_ALTERNATIVES = "AlternativeHashes"


class VicMedia:
    """Recognises media, and the data model that the beginning of the document names."""

    def __init__(self, build: ListEntryBuilder, categories: frozenset[int]) -> None:
        self._build, self._categories = build, categories
        self._prefix = ""

    def note_model(self, key: str, value: object) -> None:
        """Note the data model if a member names one."""
        if key in _MODEL_KEYS and isinstance(value, str) and _MODEL.search(value):
            self._prefix = "caid" if _BRITISH.search(value) else "vic"

    def is_medium(self, record: dict[str, Any]) -> bool:
        """Return whether an object is a medium."""
        if not self._prefix and _MEDIUM.isdisjoint(record):
            return False
        return _CATEGORY in record or any(
            self._build.resolve(name) and not isinstance(record[name], (dict, list))
            for name in record
        )

    def items(self, record: dict[str, Any]) -> Sequence[ListEntry | LeftOut]:
        """Return what a medium contributes.  Raises MalformedLine."""
        category = ""
        if _CATEGORY in record:
            text = scalar_text(record[_CATEGORY]).strip()
            if not text:
                return (LeftOut("media without a category"),)
            if not re.fullmatch(r"[0-9]{1,3}", text):
                raise MalformedLine("the category is not a number")
            if int(text) not in self._categories:
                return (LeftOut(f"media of category {int(text)}"),)
            category = f"{self._prefix or 'vic'}-{int(text)}"
        label = scalar_text(record.get("MediaID"))
        items: list[ListEntry | LeftOut] = []
        for name, value in _hashes(record):
            if not value.strip():
                continue
            if kind := self._build.resolve(name):
                items.append(self._build(kind, value, label, category))
            elif other := hash_name(name):
                items.append(left_out_hash(other))
        if not items:
            raise MalformedLine("contains no value")
        return items


def _hashes(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield name and value of every member that may be a hash, and of the alternative hashes."""
    for name, value in record.items():
        if isinstance(value, str):
            yield name, value
    alternatives = record.get(_ALTERNATIVES)
    for alternative in alternatives if isinstance(alternatives, list) else ():
        if isinstance(alternative, dict):
            yield (
                scalar_text(alternative.get("HashName") or alternative.get("HashType")),
                scalar_text(alternative.get("HashValue")),
            )
