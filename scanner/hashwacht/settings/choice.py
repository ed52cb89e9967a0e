"""Keys whose value is one of a few words, and tables from texts to such words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from hashwacht.settings.kinds import Plain, Text, described

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
        raise ValueError(f"expected one of {known}, got {described(raw)}")

    def show(self, value: Word) -> Plain:
        """As it is."""
        return value.value


@dataclass(frozen=True, slots=True)
class Choices(Generic[Word]):
    """A table from texts to words, kept as pairs in their order."""

    key: Text
    word: Choice[Word]

    def read(self, raw: object) -> tuple[tuple[str, Word], ...]:
        """Take a table such as ``{ csam = "quarantine" }``."""
        if not isinstance(raw, dict):
            raise ValueError(f"expected a table, got {described(raw)}")  # noqa: TRY004  # as in kinds
        return tuple((self.key.read(key), self.word.read(value)) for key, value in raw.items())

    def show(self, value: tuple[tuple[str, Word], ...]) -> Plain:
        """As a table."""
        return {key: word.value for key, word in value}
