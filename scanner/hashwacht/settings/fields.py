"""Keys whose value is one of a few words, and tables from texts to such words.

How a section declares its keys: the dataclass field carries its kind and what it is for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import Field, dataclass, field, fields
from enum import StrEnum
from typing import Any, Generic, TypeVar

from hashwacht.settings.kinds import String, TomlValue, ValueKind, describe_value

Value = TypeVar("Value")
Section = TypeVar("Section")


@dataclass(frozen=True, slots=True)
class SettingKey:
    """One key of a section: how it is read, and what the example and the manual say of it."""

    name: str
    kind: ValueKind[Any]
    default: Any
    description: str


def setting(kind: ValueKind[Value], default: Value, description: str) -> Value:
    """Declare a key.  *about* is its meaning and the reason for its default, in a sentence."""
    declared: Any = field(default=default, metadata={"kind": kind, "description": description})
    return declared  # type: ignore[no-any-return]  # a field, as dataclasses.field claims a value


def section(made: type[Section]) -> Section:
    """Declare a table of its own below a section."""
    declared: Any = field(default_factory=made, metadata={"section": made})
    return declared  # type: ignore[no-any-return]  # as above


def keys_of(made: type[Any]) -> Iterator[SettingKey]:
    """Every key that a section declares, in order."""
    for each in fields(made):
        if "kind" in each.metadata:
            yield SettingKey(
                each.name, each.metadata["kind"], each.default, each.metadata["description"]
            )


def sections_of(made: type[Any]) -> Iterator[tuple[str, type[Any]]]:
    """Every table below a section, in order."""
    declared: tuple[Field[Any], ...] = fields(made)
    for each in declared:
        if "section" in each.metadata:
            yield each.name, each.metadata["section"]


Word = TypeVar("Word", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Choice(Generic[Word]):
    """One member of an enumeration, by its value."""

    words: type[Word]

    def read(self, raw: object) -> Word:
        """Take a text that is one of the words."""
        for word in self.words:
            if word.value == raw:
                return word
        known = ", ".join(f'"{word}"' for word in self.words)
        raise ValueError(f"expected one of {known}, got {describe_value(raw)}")

    def show(self, value: Word) -> TomlValue:
        """As it is."""
        return value.value


@dataclass(frozen=True, slots=True)
class ChoiceTable(Generic[Word]):
    """A table from texts to words, kept as pairs in their order."""

    key: String
    word: Choice[Word]

    def read(self, raw: object) -> tuple[tuple[str, Word], ...]:
        """Take a table such as ``{ csam = "quarantine" }``."""
        if not isinstance(raw, dict):
            raise ValueError(f"expected a table, got {describe_value(raw)}")  # noqa: TRY004  # as in kinds
        return tuple((self.key.read(key), self.word.read(value)) for key, value in raw.items())

    def show(self, value: tuple[tuple[str, Word], ...]) -> TomlValue:
        """As a table."""
        return {key: word.value for key, word in value}
