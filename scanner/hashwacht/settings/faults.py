"""Everything that is wrong with a configuration, told at once.

In which line of a TOML file every key stands, which tomllib does not tell.

No second parser: the file is cut into statements (a table header, or a key with its value),
each as short as tomllib accepts it, and tomllib says what each one defines.

Where a value came from.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Any

from hashwacht.core.errors import ConfigurationError
from hashwacht.core.text import escape_text

KeyPath = tuple[str | int, ...]
"""Keys from the top, with the index of each array element on the way."""

_CLOSERS = ("]", "}", '"""', "'''")
"""No statement of several lines ends in a line without one of these."""


def lines_of(text: str) -> dict[KeyPath, int]:
    """Map the path of every table, key and array element to its line, from 1.

    *text* must be valid TOML.  Where a path comes up more than once (a table that is first
    opened by a header below it) the first line counts; what stands inside of a value has the
    line in which the statement begins.
    """
    found: dict[KeyPath, int] = {}
    lengths: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for line, statement in _statements(text):
        content = tomllib.loads(statement)
        if statement.lstrip().startswith("["):
            table = _enter(content, lengths)
            for end in range(1, len(table) + 1):
                found.setdefault(table[:end], line)
        else:
            for path in _paths(content, table):
                found.setdefault(path, line)
    return found


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Cut into (number of the first line, statement), leaving out blanks and comments."""
    begun, held = 0, ""
    for number, line in enumerate(text.split("\n"), 1):
        if not held and (not line.strip() or line.lstrip().startswith("#")):
            continue
        begun = begun if held else number
        several, held = bool(held), f"{held}{line}\n"
        if several and not any(closer in line for closer in _CLOSERS):
            continue
        if _complete(held):
            yield begun, held
            held = ""


def _complete(statement: str) -> bool:
    try:
        tomllib.loads(statement)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _enter(header: Mapping[str, Any], lengths: dict[KeyPath, int]) -> KeyPath:
    """Find which table a header opens: in an array of tables its newest element."""
    table: KeyPath = ()
    content: Any = header
    while content:
        ((key, content),) = content.items()
        table = (*table, key)
        if isinstance(content, list):
            lengths[table] = lengths.get(table, 0) + 1
            content = content[0]
        if table in lengths:
            table = (*table, lengths[table] - 1)
    return table


def _paths(content: Any, above: KeyPath) -> Iterator[KeyPath]:
    """Every path in a parsed value, outer ones first."""
    entries: Any = ()
    if isinstance(content, dict):
        entries = content.items()
    elif isinstance(content, list):
        entries = enumerate(content)
    for key, value in entries:
        yield (*above, key)
        yield from _paths(value, (*above, key))


class ValueSource(StrEnum):
    """The places a value can come from, the weakest first."""

    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"
    OPTION = "option"


@dataclass(frozen=True, slots=True)
class ValueOrigin:
    """Where one value came from; *name* is the file, the variable or the option."""

    source: ValueSource = ValueSource.DEFAULT
    name: str = ""
    line: int | None = None

    def __str__(self) -> str:
        if self.source is ValueSource.DEFAULT:
            return "default"
        return self.name if self.line is None else f"{self.name}:{self.line}"


@dataclass(frozen=True, slots=True)
class ConfigurationFault:
    """One wrong key or value: where it stands, what is wrong, and what would be right."""

    path: KeyPath
    problem: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class LocatedFault:
    """A fault with the place it has to be put right at."""

    fault: ConfigurationFault
    origin: ValueOrigin

    def __str__(self) -> str:
        advice = f" ({self.fault.advice})" if self.fault.advice else ""
        return f"{self.origin}: {dotted(self.fault.path)}: {self.fault.problem}{advice}"


class InvalidConfiguration(ConfigurationError):
    """A configuration with faults, all of them in ``faults``."""

    def __init__(self, faults: Sequence[LocatedFault]) -> None:
        """Tell all of them, in the order of the file."""
        ordered = tuple(sorted(faults, key=lambda each: each.origin.line or 0))
        count = f"{len(ordered)} faults" if len(ordered) > 1 else "1 fault"
        lines = "".join(f"\n  {each}" for each in ordered)
        super().__init__(
            f"the configuration has {count}:{lines}",
            advice="Put this right; `hashwacht config check` looks again without doing anything.",
        )
        self.faults = ordered


def dotted(path: KeyPath) -> str:
    """Write a path as people do: ``matchers.eokm.timeout``, ``scan.exclude[2]``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{escape_text(part)}" if text else escape_text(part)
    return text or "the file"


def unknown_key(
    path: KeyPath, valid: Iterable[str], below: Iterable[str] = ()
) -> ConfigurationFault:
    """Complain of a key and name the nearest that would be valid.

    *valid* are keys of the same table; *below* are dotted ones of tables under it, for a key
    whose table header was forgotten.
    """
    name, names = str(path[-1]), sorted(valid)
    displaced = [each for each in below if each.rpartition(".")[2] == name]
    near = displaced or get_close_matches(name, names, n=1, cutoff=0.5)
    advice = f"did you mean {near[0]}?" if near else f"valid: {', '.join(names)}"
    return ConfigurationFault(path, "unknown key", advice)
