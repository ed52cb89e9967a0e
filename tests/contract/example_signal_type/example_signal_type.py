"""A complete package with two signal types: a picture hash and a digest.

A real one would call its licensed library in ``signals`` and in ``update``.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from hashwacht.signal_types import Picture, Signal, SignalError


class _Hexadecimal:
    """The common base: a value is a fixed number of hexadecimal digits."""

    name = ""
    version = 1
    bits = 0

    def canonical(self, value: str) -> str:
        text = value.strip().lower()
        if len(text) * 4 != self.bits or set(text) - set("0123456789abcdef"):
            raise SignalError(f"not a {self.name}: {self.bits // 4} hexadecimal digits expected")
        return text

    def distance(self, one: str, other: str) -> int:
        return (int(one, 16) ^ int(other, 16)).bit_count()

    def examples(self) -> Sequence[tuple[str, str]]:
        digits = "01ABcdef"[: self.bits // 4]
        return [(digits, digits.lower()), ("0" * (self.bits // 4), "0" * (self.bits // 4))]


class MeanColour(_Hexadecimal):
    """The mean of each colour channel: 24 bits."""

    name = "mean_colour"
    bits = 24
    perceptual = True

    def signals(self, picture: Picture) -> Sequence[Signal]:
        red, green, blue = picture.rgb.resize((1, 1)).tobytes()
        return [Signal(self.name, f"{red:02x}{green:02x}{blue:02x}")]


class Adler32(_Hexadecimal):
    """A checksum over all bytes: 32 bits."""

    name = "adler32"
    bits = 32
    perceptual = False

    def new(self) -> Adler32State:
        return Adler32State()


class Adler32State:
    """The state of one checksum."""

    def __init__(self) -> None:
        self.value = 1

    def update(self, chunk: bytes, /) -> None:
        self.value = zlib.adler32(chunk, self.value)

    def hexdigest(self) -> str:
        return f"{self.value:08x}"
