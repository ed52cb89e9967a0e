"""Where values come from: file and line, environment variable, option or default.

tomllib does not report lines.  :func:`lines_of` needs no second parser: it cuts the file into
statements (a table header, or a key with its value), each as short as tomllib accepts it, and
tomllib reports which paths each of them defines.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

KeyPath = tuple[str | int, ...]
"""Keys from the top, with the index of each array element on the way."""


class ValueSource(StrEnum):
    """The sources of a value, the weakest first."""

    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"
    OPTION = "option"


@dataclass(frozen=True, slots=True)
class ValueOrigin:
    """The source of one value; *name* is the file, the variable or the option."""

    source: ValueSource = ValueSource.DEFAULT
    name: str = ""
    line: int | None = None

    def __str__(self) -> str:
        if self.source is ValueSource.DEFAULT:
            return "default"
        return self.name if self.line is None else f"{self.name}:{self.line}"


_CLOSING = ("]", "}", '"""', "'''")
"""The last line of a multi-line statement contains one of these."""


def lines_of(text: str) -> dict[KeyPath, int]:
    """Map the path of every table, key and array element to its line, from 1.

    *text* must be valid TOML.  A path that occurs more than once (a table that is first opened by
    a header below it) has the line of the first; paths inside a value have the line in which the
    statement begins.
    """
    lines: dict[KeyPath, int] = {}
    lengths: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for line, statement in _statements(text):
        content = tomllib.loads(statement)
        if statement.lstrip().startswith("["):
            table = _open_table(content, lengths)
            for end in range(1, len(table) + 1):
                lines.setdefault(table[:end], line)
        else:
            for path in _paths(content, table):
                lines.setdefault(path, line)
    return lines


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield (number of the first line, statement) without blank lines and comments."""
    first, statement = 0, ""
    for number, line in enumerate(text.split("\n"), 1):
        if not statement and (not line.strip() or line.lstrip().startswith("#")):
            continue
        first = first if statement else number
        continued, statement = bool(statement), f"{statement}{line}\n"
        if continued and not any(closing in line for closing in _CLOSING):
            continue
        if _is_complete(statement):
            yield first, statement
            statement = ""


def _is_complete(statement: str) -> bool:
    try:
        tomllib.loads(statement)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _open_table(header: Mapping[str, Any], lengths: dict[KeyPath, int]) -> KeyPath:
    """Return the table that a header opens: in an array of tables its newest element."""
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


def _paths(content: Any, parent: KeyPath) -> Iterator[KeyPath]:
    entries: Any = ()
    if isinstance(content, dict):
        entries = content.items()
    elif isinstance(content, list):
        entries = enumerate(content)
    for key, value in entries:
        yield (*parent, key)
        yield from _paths(value, (*parent, key))
