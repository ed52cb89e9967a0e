"""The forms that parts of a message may have; everything else is nonsense."""

from __future__ import annotations

import json
import re
from typing import NoReturn, TypeVar

from hashwacht.core.text import is_printable_line, replace_unprintable
from hashwacht.ipc.frames import ProtocolError

MAX_LINE_LENGTH = 400
"""Characters of an explanation."""

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
"""Of a matcher or channel, as the configuration has it."""

T = TypeVar("T")


def write(fields: list[object]) -> bytes:
    """Write a message."""
    return _WRITER.encode(fields).encode()


def read(body: bytes) -> object:
    """Read what may be a message.  Raises Nonsense."""
    try:
        return _READER.decode(body.decode())
    except (ValueError, RecursionError) as error:
        raise ProtocolError("no JSON") from error


def printable(text: str, most: int = MAX_LINE_LENGTH) -> str:
    """Make a text short and printable."""
    return replace_unprintable(text[:most], "?")


def text(value: object, form: re.Pattern[str]) -> str:
    """Take a text of that form.  Raises Nonsense."""
    if not isinstance(value, str) or form.fullmatch(value) is None:
        raise ProtocolError("not a text of that form")
    return value


def printable_line(value: object, most: int = MAX_LINE_LENGTH) -> str:
    """Take one printable line.  Raises Nonsense."""
    if not isinstance(value, str) or not is_printable_line(value, most):
        raise ProtocolError("not words")
    return value


def number(value: object, below: int) -> int:
    """Take a whole number that is not negative.  Raises Nonsense."""
    if type(value) is not int or not 0 <= value < below:
        raise ProtocolError("not a number in range")
    return value


def enum_member(kind: type[T], value: object) -> T:
    """Take a word of an enumeration.  Raises Nonsense."""
    try:
        return kind(value)  # type: ignore[call-arg]  # an enumeration, called by its value
    except ValueError as error:
        raise ProtocolError("no word of ours") from error


def _refuse(_number: str) -> NoReturn:
    """No number of ours is infinite or is none."""
    raise ProtocolError("not a number")


_WRITER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_READER = json.JSONDecoder(parse_constant=_refuse)
