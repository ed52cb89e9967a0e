"""What the value of a key may be: read from TOML or an option, and shown back as TOML.

A kind is a value: it reads what tomllib gave (or the text of an option) into the type of the
section's field, and says in a sentence what it expected if that cannot be.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

from hashwacht.settings.units import (
    RateLimit,
    read_duration,
    read_rate,
    read_size,
    show_duration,
    show_size,
)

Value = TypeVar("Value")
TomlValue = bool | int | str | list[str] | dict[str, str] | dict[str, list[str]]
"""What a value looks like in TOML and JSON."""


class ValueKind(Protocol[Value]):
    """Reads and shows the values of one key."""

    def read(self, raw: object) -> Value:
        """Turn a raw TOML value into ours.  Raises ValueError, saying what was expected."""

    def show(self, value: Value) -> TomlValue:
        """Turn it back: ``read(show(value)) == value``."""


def describe_value(raw: object) -> str:
    """Say what a raw value is, short enough for a message and without a control character."""
    names = {bool: "true or false", dict: "a table", list: "an array"}
    if type(raw) in names:
        return names[type(raw)]
    text = repr(raw) if isinstance(raw, str) else str(raw)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004  # a line's worth


def _unfit(expected: str, raw: object) -> ValueError:
    return ValueError(f"expected {expected}, got {describe_value(raw)}")


def _text(raw: object, expected: str) -> str:
    if not isinstance(raw, str):
        raise _unfit(expected, raw)
    if any(ord(each) < ord(" ") for each in raw):
        raise ValueError(f"expected {expected}, got control characters")
    return raw


@dataclass(frozen=True, slots=True)
class Boolean:
    """True or false."""

    def read(self, raw: object) -> bool:
        """Take a boolean and nothing that looks like one."""
        if not isinstance(raw, bool):
            raise _unfit("true or false", raw)
        return raw

    def show(self, value: bool) -> TomlValue:
        """As it is."""
        return value


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number within bounds, both included."""

    low: int
    high: int

    def read(self, raw: object) -> int:
        """Take an integer of TOML."""
        if isinstance(raw, bool) or not isinstance(raw, int):
            raise _unfit("a whole number", raw)
        if not self.low <= raw <= self.high:
            raise ValueError(f"expected {self.low} to {self.high}, got {raw}")
        return raw

    def show(self, value: int) -> TomlValue:
        """As it is."""
        return value


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes: a text with a unit, or a whole number of bytes."""

    low: int
    high: int

    def read(self, raw: object) -> int:
        """Take ``"64 MiB"`` or ``67108864``."""
        if isinstance(raw, int) and not isinstance(raw, bool):
            size = raw
        else:
            size = read_size(_text(raw, 'a size such as "64 MiB"'))
        if not self.low <= size <= self.high:
            raise ValueError(
                f"expected {show_size(self.low)} to {show_size(self.high)}, got {show_size(size)}"
            )
        return size

    def show(self, value: int) -> TomlValue:
        """With its unit."""
        return show_size(value)


@dataclass(frozen=True, slots=True)
class Duration:
    """Seconds: a text with units, or a number of seconds.  Kept to the millisecond."""

    low: float
    high: float

    def read(self, raw: object) -> float:
        """Take ``"7d"``, ``"1h30m"`` or ``2.5``."""
        if isinstance(raw, (int, float)) and not isinstance(raw, bool):
            seconds = float(raw)
        else:
            seconds = read_duration(_text(raw, 'a duration such as "30s"'))
        if not self.low <= seconds <= self.high:
            raise ValueError(
                f"expected {show_duration(self.low)} to {show_duration(self.high)},"
                f" got {describe_value(raw)}"
            )
        return round(seconds, 3)

    def show(self, value: float) -> TomlValue:
        """With its unit."""
        return show_duration(value)


@dataclass(frozen=True, slots=True)
class Rate:
    """Files or bytes per second, or no limit."""

    def read(self, raw: object) -> RateLimit | None:
        """Take ``"200 files/s"``, ``"20 MiB/s"`` or ``""``."""
        return read_rate(_text(raw, 'a rate such as "20 MiB/s"'))

    def show(self, value: RateLimit | None) -> TomlValue:
        """Empty for no limit."""
        return "" if value is None else str(value)


@dataclass(frozen=True, slots=True)
class String:
    """A text; *pattern* (a whole match) and *expected* describe a narrower one."""

    pattern: str = ".*"
    expected: str = "a text"

    def read(self, raw: object) -> str:
        """Take a text that fits."""
        text = _text(raw, self.expected)
        if not re.fullmatch(self.pattern, text, re.ASCII):
            raise ValueError(f"expected {self.expected}, got {describe_value(text)}")
        return text

    def show(self, value: str) -> TomlValue:
        """As it is."""
        return value


@dataclass(frozen=True, slots=True)
class AbsolutePath:
    """An absolute path, ``~`` allowed; empty for none."""

    def read(self, raw: object) -> Path | None:
        """Take a path that means the same from every working directory."""
        text = _text(raw, "an absolute path")
        if not text:
            return None
        try:
            path = Path(text).expanduser()
        except RuntimeError as error:
            raise ValueError(f"{describe_value(text)}: {error}") from None
        if not path.is_absolute():
            raise ValueError(f"expected an absolute path, got {describe_value(text)}")
        return path

    def show(self, value: Path | None) -> TomlValue:
        """Empty for none."""
        return "" if value is None else str(value)


@dataclass(frozen=True, slots=True)
class Url:
    """An address ``https://host[:port][/path]``, or http; empty for none where *optional*."""

    optional: bool = False

    def read(self, raw: object) -> str:
        """Take an address without user, password, query or fragment."""
        text = _text(raw, "an address such as https://host")
        if self.optional and not text:
            return text
        try:
            parts = urlsplit(text)
            port_fits = parts.port is None or parts.port > 0
        except ValueError as error:
            raise ValueError(f"no address: {error}") from None
        if parts.username or parts.password:
            raise ValueError("an address must not hold a user or password")
        if parts.scheme not in {"https", "http"} or not parts.hostname or not port_fits:
            raise ValueError(
                f"expected an address such as https://host, got {describe_value(text)}"
            )
        if parts.query or parts.fragment:
            raise ValueError("an address must end before any ? or #")
        return text.rstrip("/")

    def show(self, value: str) -> TomlValue:
        """As it is."""
        return value


@dataclass(frozen=True, slots=True)
class StringList:
    """An array of texts, each as *each* says."""

    each: String = String()
    at_least: int = 0

    def read(self, raw: object) -> tuple[str, ...]:
        """Take an array in its order."""
        if not isinstance(raw, list):
            raise _unfit("an array of texts", raw)
        if len(raw) < self.at_least:
            raise ValueError(f"expected at least {self.at_least} element")
        return tuple(self.each.read(item) for item in raw)

    def show(self, value: Sequence[str]) -> TomlValue:
        """As an array."""
        return list(value)


@dataclass(frozen=True, slots=True)
class StringTable:
    """A table from texts to texts, kept as pairs in their order."""

    key: String
    value: String
    at_least: int = 0

    def read(self, raw: object) -> tuple[tuple[str, str], ...]:
        """Take a table such as ``{ md5 = "md5" }``."""
        if not isinstance(raw, dict):
            raise _unfit("a table", raw)
        if len(raw) < self.at_least:
            raise ValueError(f"expected at least {self.at_least} entry")
        return tuple((self.key.read(key), self.value.read(value)) for key, value in raw.items())

    def show(self, value: tuple[tuple[str, str], ...]) -> TomlValue:
        """As a table."""
        return dict(value)


@dataclass(frozen=True, slots=True)
class CommandTable:
    """A table from names to argument vectors, the first element an absolute path."""

    key: String

    def read(self, raw: object) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Take a table such as ``{ photodna = ["/opt/hasher", "--hex"] }``."""
        if not isinstance(raw, dict):
            raise _unfit("a table", raw)
        return tuple((self.key.read(key), _program(value)) for key, value in raw.items())

    def show(self, value: tuple[tuple[str, tuple[str, ...]], ...]) -> TomlValue:
        """As a table of arrays."""
        return {name: list(program) for name, program in value}


def _program(raw: object) -> tuple[str, ...]:
    program = StringList(at_least=1).read(raw)
    if not Path(program[0]).is_absolute():
        raise ValueError(f"expected the program's absolute path, got {describe_value(program[0])}")
    return program
