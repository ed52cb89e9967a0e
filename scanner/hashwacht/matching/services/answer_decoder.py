"""The one decoder of what services answer: strict JSON (RFC 8259), then one typed shape.

Whatever a parser could read in two ways is refused: a name that occurs twice in an object, NaN and
infinities, a number beyond 64 bits, bytes that are not UTF-8.  The shape is converted by msgspec
without coercion: ``true`` is no number, ``1.5`` no identifier.  Names that a shape does not know
are ignored, because services add fields.

msgspec alone would not do: its JSON decoder takes the last of two equal names.
"""

from __future__ import annotations

import json
import math
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_MAX_DIGITS = 19
"""Characters of an integer: those of the largest with 64 bits and a sign."""


class MalformedAnswer(ValueError):
    """The body is not JSON in the one reading that is accepted, or has another shape."""


def decode_answer(body: bytes, shape: type[T]) -> T:
    """Return the body as a *shape*.  Raises MalformedAnswer, and nothing else, for any bytes."""
    try:
        value = _DECODER.decode(body.decode())
    except (ValueError, RecursionError) as error:
        raise MalformedAnswer from error
    return convert(value, shape)


def convert(value: object, shape: type[T]) -> T:
    """Return a decoded value as a *shape*.  Raises MalformedAnswer."""
    try:
        return msgspec.convert(value, shape)
    except (ValueError, RecursionError) as error:  # UnicodeError for a lone surrogate among them
        raise MalformedAnswer from error


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise MalformedAnswer("a name occurs twice")
    return fields


def _integer(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise MalformedAnswer("a number is too long")
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise MalformedAnswer("a number is not finite")
    return number


def _refuse_constant(name: str) -> float:
    raise MalformedAnswer(f"{name} is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_names,
    parse_int=_integer,
    parse_float=_finite,
    parse_constant=_refuse_constant,
)
