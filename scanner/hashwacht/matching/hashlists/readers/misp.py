"""Attributes of MISP, as its events (JSON) and its exports (CSV) contain them, and warning lists.

Only attributes with a hash of a file are taken; all others are left out and counted by type.  The
category of an attribute ("Payload delivery") says nothing about its content and is not taken.

Source: MISP core format (misp-rfc), ``misp-core-format`` and ``misp-warninglist-format``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from hashwacht.matching.hashlists.readers.entries import (
    DIGEST_DIGITS,
    LeftOut,
    ListEntry,
    ListEntryBuilder,
    hash_name,
    left_out_hash,
    scalar_text,
)

MISP_COLUMNS = frozenset({"uuid", "event_id", "category", "type", "value"})
"""Titles of the columns by which an export of attributes is recognised."""

_SPECIFIC = frozenset({"uuid", "to_ids", "event_id", "object_relation", "distribution"})
_SAMPLE = "malware-sample"
_NAMED = "filename|"
_DIGITS = re.compile(r"[0-9a-fA-F]+")
_TYPE = re.compile(r"[a-z0-9][a-z0-9|_.-]{0,40}", re.IGNORECASE)


def is_misp_attribute(record: dict[str, Any]) -> bool:
    """Return whether an object is an attribute of an event or of an object in it."""
    return "type" in record and "value" in record and not _SPECIFIC.isdisjoint(record)


def attribute_items(
    build: ListEntryBuilder, record: dict[str, Any]
) -> Sequence[ListEntry | LeftOut]:
    """Return what an attribute contributes.  Raises MalformedLine."""
    if record.get("deleted") in {True, "1"}:
        return (LeftOut("deleted attributes"),)
    label = scalar_text(record.get("uuid") or record.get("id"))
    return misp_items(build, scalar_text(record["type"]), scalar_text(record["value"]), label)


def misp_items(
    build: ListEntryBuilder, kind: str, value: str, label: str
) -> Sequence[ListEntry | LeftOut]:
    """Return what an attribute of this type contributes.  Raises MalformedLine."""
    if kind == _SAMPLE:
        kind, value = "md5", value.rpartition("|")[2]
    elif kind.startswith(_NAMED):
        kind, value = kind.removeprefix(_NAMED), value.rpartition("|")[2]
    if name := build.resolve(kind):
        return (build(name, value, label),)
    if other := hash_name(kind):
        return (left_out_hash(other),)
    shown = kind if _TYPE.fullmatch(kind) else "another type"
    return (LeftOut(f"attributes of type {shown}"),)


def warning_items(build: ListEntryBuilder, value: object) -> Sequence[ListEntry | LeftOut]:
    """Return what an entry of a warning list contributes; its type follows from its length."""
    text = value.strip() if isinstance(value, str) else ""
    if _DIGITS.fullmatch(text) and (kind := DIGEST_DIGITS.get(len(text))):
        return (build(kind, text),)
    return (LeftOut("entries of the warning list that are no md5, sha1 or sha256"),)
