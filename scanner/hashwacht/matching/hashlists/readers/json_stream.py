"""The values of a JSON document of any length, in bounded memory.

A container that ends within a window of 1 MiB is decoded as a whole by :mod:`json`.  Of a longer
one the members are yielded one by one, then its short scalar members once more as one object: a
document with a list of millions of entries yields each entry, and an entry with a huge member
yields everything else of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

WINDOW = 1 << 20
"""Characters within which a container must end to be decoded as a whole."""

MAX_DEPTH = 32
_MAX_SCALARS = 256
_MAX_TEXT = 4096
_MIN_AHEAD = 4096
_BLANK = re.compile(r"[ \t\r\n]*")
_IN_STRING = re.compile(r'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL)
_DECODER = json.JSONDecoder()


class MalformedJson(ValueError):
    """The text is not JSON; the message is the reason."""


class JsonValue(NamedTuple):
    """A decoded value and the name of the member that contains it, or the list that does."""

    key: str
    value: Any
    top: bool
    """Whether it is the document itself, or an element of it."""
    listed: bool = False
    """Whether it is an element of a list."""
    partial: bool = False
    """Whether it is what is left of an object whose members were yielded before."""


class JsonStream:
    """Iterates over the values of one or more JSON documents, one after the other.

    Raises MalformedJson.
    """

    def __init__(self, text: Iterator[str]) -> None:
        self._text, self._buffer, self._at, self._ended = text, "", 0, False

    def __iter__(self) -> Iterator[JsonValue]:
        """Yield all values."""
        while self._peek():
            yield from self._value("", 0)

    def _value(self, key: str, depth: int, *, listed: bool = False) -> Iterator[JsonValue]:
        if depth > MAX_DEPTH:
            raise MalformedJson("nested too deeply")
        first = self._peek()
        if first not in {"{", "["}:
            yield JsonValue(key, self._scalar(), depth <= listed, listed)
        elif (value := self._whole()) is not None:
            yield JsonValue(key, value, depth <= listed, listed)
        elif first == "[":
            yield from self._list(key, depth)
        else:
            yield from self._object(key, depth, listed=listed)

    def _list(self, key: str, depth: int) -> Iterator[JsonValue]:
        self._expect("[")
        if self._skip("]"):
            return
        while True:
            yield from self._value(key, depth + 1, listed=True)
            if self._skip("]"):
                return
            self._expect(",")

    def _object(self, key: str, depth: int, *, listed: bool) -> Iterator[JsonValue]:
        self._expect("{")
        scalars: dict[str, Any] = {}
        while not self._skip("}"):
            if self._peek() != '"' or (name := self._scalar()) is None:
                raise MalformedJson("a member has no name")
            self._expect(":")
            if self._peek() in {"{", "["}:
                yield from self._value(str(name), depth + 1)
            else:
                value = self._scalar()
                yield JsonValue(str(name), value, top=False)
                if len(scalars) < _MAX_SCALARS:
                    scalars[str(name)] = value
            if self._peek() != "}":
                self._expect(",")
        yield JsonValue(key, scalars, depth <= listed, listed, partial=True)

    def _whole(self) -> dict[str, Any] | list[Any] | None:
        """Decode a container, None if it does not end within the window."""
        for ahead in (0, WINDOW):
            self._fill(ahead)
            try:
                value, end = _DECODER.raw_decode(self._buffer, self._at)
            except (ValueError, RecursionError):
                continue
            self._at = end
            return value if isinstance(value, (dict, list)) else None
        return None

    def _scalar(self) -> Any:
        """Decode a string, number or literal; None for a string of more than a few KiB."""
        for ahead in (_MIN_AHEAD, WINDOW):
            self._fill(ahead)
            try:
                value, end = _DECODER.raw_decode(self._buffer, self._at)
            except ValueError:
                continue
            self._at = end
            return None if isinstance(value, str) and len(value) > _MAX_TEXT else value
        if self._peek() != '"':
            raise MalformedJson("a value is missing")
        self._skip_string()
        return None

    def _skip_string(self) -> None:
        self._at += 1
        while True:
            self._fill(_MIN_AHEAD)
            if match := _IN_STRING.match(self._buffer, self._at):
                self._at = match.end()
            if self._buffer[self._at : self._at + 1] == '"':
                self._at += 1
                return
            if self._ended:
                raise MalformedJson("the document ends within a string")

    def _peek(self) -> str:
        """Return the next character that is not blank, empty at the end."""
        while True:
            match = _BLANK.match(self._buffer, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._buffer) or self._ended:
                return self._buffer[self._at : self._at + 1]
            self._fill(1)

    def _skip(self, character: str) -> bool:
        if self._peek() != character:
            return False
        self._at += 1
        return True

    def _expect(self, character: str) -> None:
        if not self._skip(character):
            where = "the document ends where" if not self._peek() else "something else where"
            raise MalformedJson(f"{where} {character!r} is expected")

    def _fill(self, ahead: int) -> None:
        """Read until *ahead* characters are in memory, or the document ends."""
        if len(self._buffer) - self._at >= ahead or self._ended:
            return
        parts, lacking = [self._buffer[self._at :]], ahead - (len(self._buffer) - self._at)
        while lacking > 0 and not self._ended:
            block = next(self._text, None)
            if block is None:
                self._ended = True
            else:
                parts.append(block)
                lacking -= len(block)
        if len(parts) > 1:
            self._buffer, self._at = "".join(parts), 0
