"""In which line of a TOML file every key stands, which tomllib does not tell.

No second parser: the file is cut into statements (a table header, or a key with its value),
each as short as tomllib accepts it, and tomllib says what each one defines.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

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
