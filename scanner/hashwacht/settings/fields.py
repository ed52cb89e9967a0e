"""Declaration of keys: a dataclass field carries the kind, the default and the description."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from hashwacht.settings.kinds import ValueKind

Value = TypeVar("Value")
Section = TypeVar("Section")


@dataclass(frozen=True, slots=True)
class SettingKey:
    """One key of a section; *description* is its text in the example and the manual."""

    name: str
    kind: ValueKind[Any]
    default: Any
    description: str


def setting(kind: ValueKind[Value], default: Value, description: str) -> Value:
    """Declare a key; *description* is its meaning and the reason for its default."""
    declared: Any = field(default=default, metadata={"kind": kind, "description": description})
    return declared  # type: ignore[no-any-return]  # a field, as dataclasses.field claims a value


def section(section_type: type[Section]) -> Section:
    """Declare a table below a section."""
    declared: Any = field(default_factory=section_type, metadata={"section": section_type})
    return declared  # type: ignore[no-any-return]  # as above


def keys_of(section_type: type[Any]) -> Iterator[SettingKey]:
    """Yield every key that a section declares, in order."""
    for each in fields(section_type):
        if "kind" in each.metadata:
            description = each.metadata["description"]
            yield SettingKey(each.name, each.metadata["kind"], each.default, description)


def sections_of(section_type: type[Any]) -> Iterator[tuple[str, type[Any]]]:
    """Yield name and type of every table below a section, in order."""
    for each in fields(section_type):
        if "section" in each.metadata:
            yield each.name, each.metadata["section"]
