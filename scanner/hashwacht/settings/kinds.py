"""The declaration of keys, and the kinds of their values.

A dataclass field carries the kind, the default and the description of its key.  A kind parses what
tomllib returned, or the text of an option, into the type of the field, and formats it again.  A
ValueError contains in one sentence what was expected.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, cast
from urllib.parse import urlsplit

from hashwacht.settings.units import (
    RateLimit,
    duration_to_text,
    parse_duration,
    parse_rate,
    parse_size,
    size_to_text,
)

Value = TypeVar("Value")
Section = TypeVar("Section")
Plain = TypeVar("Plain", bool, int, str)
Word = TypeVar("Word", bound=StrEnum)
TomlValue = bool | int | str | list[str] | dict[str, str] | dict[str, list[str]]
"""A value as it appears in TOML and JSON."""


class ValueKind(Protocol[Value]):
    """Parses and formats the values of one key."""

    def parse(self, raw: object) -> Value:
        """Return the value for a raw TOML value.  Raises ValueError with what was expected."""

    def format(self, value: Value) -> TomlValue:
        """Return the TOML value: ``parse(format(value)) == value``."""


def describe_value(raw: object) -> str:
    """Return a raw value as text, short enough for a message and without control characters."""
    names = {bool: "true or false", dict: "a table", list: "an array"}
    if type(raw) in names:
        return names[type(raw)]
    text = repr(raw) if isinstance(raw, str) else str(raw)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004  # one line


def _mismatch(expected: str, raw: object) -> ValueError:
    return ValueError(f"expected {expected}, got {describe_value(raw)}")


def _text(raw: object, expected: str) -> str:
    if not isinstance(raw, str):
        raise _mismatch(expected, raw)
    if any(ord(character) < ord(" ") for character in raw):
        raise ValueError(f"expected {expected}, got control characters")
    return raw


class _Unchanged(Generic[Plain]):
    """A kind whose values look the same in TOML."""

    __slots__ = ()

    def format(self, value: Plain) -> TomlValue:
        return value


class _AsText:
    """A kind whose values are strings in TOML; none is the empty one."""

    __slots__ = ()

    def format(self, value: object) -> TomlValue:
        return "" if value is None else str(value)


@dataclass(frozen=True, slots=True)
class Boolean(_Unchanged[bool]):
    """True or false."""

    def parse(self, raw: object) -> bool:
        """Accept booleans only."""
        if not isinstance(raw, bool):
            raise _mismatch("true or false", raw)
        return raw


@dataclass(frozen=True, slots=True)
class Integer(_Unchanged[int]):
    """A whole number within bounds, both included."""

    low: int
    high: int

    def parse(self, raw: object) -> int:
        """Accept a TOML integer."""
        if isinstance(raw, bool) or not isinstance(raw, int):
            raise _mismatch("a whole number", raw)
        if not self.low <= raw <= self.high:
            raise ValueError(f"expected {self.low} to {self.high}, got {raw}")
        return raw


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes: a string with a unit, or a whole number of bytes."""

    low: int
    high: int

    def parse(self, raw: object) -> int:
        """Accept ``"64 MiB"`` or ``67108864``."""
        if isinstance(raw, int) and not isinstance(raw, bool):
            size = raw
        else:
            size = parse_size(_text(raw, 'a size such as "64 MiB"'))
        if not self.low <= size <= self.high:
            low, high = size_to_text(self.low), size_to_text(self.high)
            raise ValueError(f"expected {low} to {high}, got {size_to_text(size)}")
        return size

    def format(self, value: int) -> TomlValue:
        """Return the size with its unit."""
        return size_to_text(value)


@dataclass(frozen=True, slots=True)
class Duration:
    """Seconds: a string with units, or a number of seconds.  Rounded to the millisecond."""

    low: float
    high: float

    def parse(self, raw: object) -> float:
        """Accept ``"7d"``, ``"1h30m"`` or ``2.5``."""
        if isinstance(raw, (int, float)) and not isinstance(raw, bool):
            seconds = float(raw)
        else:
            seconds = parse_duration(_text(raw, 'a duration such as "30s"'))
        if not self.low <= seconds <= self.high:
            raise _mismatch(f"{duration_to_text(self.low)} to {duration_to_text(self.high)}", raw)
        return round(seconds, 3)

    def format(self, value: float) -> TomlValue:
        """Return the duration with its unit."""
        return duration_to_text(value)


@dataclass(frozen=True, slots=True)
class Rate(_AsText):
    """Files or bytes per second, or no limit."""

    def parse(self, raw: object) -> RateLimit | None:
        """Accept ``"200 files/s"``, ``"20 MiB/s"`` or ``""``."""
        return parse_rate(_text(raw, 'a rate such as "20 MiB/s"'))


@dataclass(frozen=True, slots=True)
class String(_Unchanged[str]):
    """A string; *pattern* (a full match) and *expected* describe a narrower one."""

    pattern: str = ".*"
    expected: str = "a string"

    def parse(self, raw: object) -> str:
        """Accept a string that matches."""
        text = _text(raw, self.expected)
        if not re.fullmatch(self.pattern, text, re.ASCII):
            raise _mismatch(self.expected, text)
        return text


@dataclass(frozen=True, slots=True)
class AbsolutePath(_AsText):
    """An absolute path, ``~`` allowed; empty for none."""

    def parse(self, raw: object) -> Path | None:
        """Accept a path that does not depend on the working directory."""
        text = _text(raw, "an absolute path")
        if not text:
            return None
        try:
            path = Path(text).expanduser()
        except RuntimeError as error:
            raise ValueError(f"{describe_value(text)}: {error}") from None
        if not path.is_absolute():
            raise _mismatch("an absolute path", text)
        return path


@dataclass(frozen=True, slots=True)
class Url(_Unchanged[str]):
    """A URL ``https://host[:port][/path]``, or http; empty for none where *optional*."""

    optional: bool = False

    def parse(self, raw: object) -> str:
        """Accept a URL without user, password, query or fragment."""
        text = _text(raw, "a URL such as https://host")
        if self.optional and not text:
            return text
        try:
            parts = urlsplit(text)
            port_fits = parts.port is None or parts.port > 0
        except ValueError as error:
            raise ValueError(f"not a valid URL: {error}") from None
        if parts.username or parts.password:
            raise ValueError("a URL must not contain a user name or password")
        if parts.scheme not in {"https", "http"} or not parts.hostname or not port_fits:
            raise _mismatch("a URL such as https://host", text)
        if parts.query or parts.fragment:
            raise ValueError("a URL must not contain ? or #")
        return text.rstrip("/")


@dataclass(frozen=True, slots=True)
class StringList:
    """An array of strings, each of the kind *item*."""

    item: String = String()
    min_length: int = 0

    def parse(self, raw: object) -> tuple[str, ...]:
        """Accept an array and keep its order."""
        if not isinstance(raw, list):
            raise _mismatch("an array of strings", raw)
        if len(raw) < self.min_length:
            raise ValueError(f"expected at least {self.min_length} element")
        return tuple(self.item.parse(item) for item in raw)

    def format(self, value: Sequence[str]) -> TomlValue:
        """Return an array."""
        return list(value)


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A program and its arguments, as an array; empty for none where *optional*."""

    optional: bool = False

    def parse(self, raw: object) -> tuple[str, ...]:
        """Accept an array whose first element is an absolute path."""
        program = StringList(min_length=0 if self.optional else 1).parse(raw)
        if program and not Path(program[0]).is_absolute():
            raise _mismatch("the absolute path of a program", program[0])
        return program

    def format(self, value: Sequence[str]) -> list[str]:
        """Return an array."""
        return list(value)


@dataclass(frozen=True, slots=True)
class Choice(_AsText, Generic[Word]):
    """One member of an enumeration, by its value."""

    words: type[Word]

    def parse(self, raw: object) -> Word:
        """Accept one of the words."""
        for word in self.words:
            if word.value == raw:
                return word
        raise _mismatch("one of " + ", ".join(f'"{word}"' for word in self.words), raw)


@dataclass(frozen=True, slots=True)
class Words(Generic[Word]):
    """An array of members of an enumeration, each at most once, in any order."""

    words: type[Word]

    def parse(self, raw: object) -> tuple[Word, ...]:
        """Accept an array of the words."""
        if not isinstance(raw, list):
            raise _mismatch("an array of strings", raw)
        return tuple(dict.fromkeys(map(Choice(self.words).parse, raw)))

    def format(self, value: Sequence[Word]) -> TomlValue:
        """Return an array."""
        return [str(word) for word in value]


@dataclass(frozen=True, slots=True)
class Table(Generic[Value]):
    """A table from strings to values of one kind, kept as pairs in their order."""

    key: String
    item: ValueKind[Value]
    min_length: int = 0

    def parse(self, raw: object) -> tuple[tuple[str, Value], ...]:
        """Accept a table such as ``{ md5 = "md5" }``."""
        if not isinstance(raw, dict):
            raise _mismatch("a table", raw)
        if len(raw) < self.min_length:
            raise ValueError(f"expected at least {self.min_length} entry")
        return tuple((self.key.parse(key), self.item.parse(item)) for key, item in raw.items())

    def format(self, value: tuple[tuple[str, Value], ...]) -> TomlValue:
        """Return a table."""
        return cast(TomlValue, {key: self.item.format(item) for key, item in value})


@dataclass(frozen=True, slots=True)
class SettingKey:
    """One key of a section; *description* is its text in the example and the manual."""

    name: str
    kind: ValueKind[Any]
    default: Any
    description: str


def setting(kind: ValueKind[Value], default: Value, description: str) -> Value:
    """Declare a key; *description* is its meaning and the reason for its default."""
    return field(default=default, metadata={"kind": kind, "description": description})


def section(section_type: type[Section]) -> Section:
    """Declare a table below a section."""
    return field(default_factory=section_type, metadata={"section": section_type})


def keys_of(section_type: type[Any]) -> Iterator[SettingKey]:
    """Yield every key that a section declares, in order."""
    for field_ in fields(section_type):
        if "kind" in field_.metadata:
            yield SettingKey(field_.name, default=field_.default, **field_.metadata)


def sections_of(section_type: type[Any]) -> Iterator[tuple[str, type[Any]]]:
    """Yield name and type of every table below a section, in order."""
    for field_ in fields(section_type):
        if "section" in field_.metadata:
            yield field_.name, field_.metadata["section"]
