"""Reading our own JSON back without believing it: every value has its type, or it is damage."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import TypeVar

T = TypeVar("T", int, str)


class Fields:
    """The fields of an object of JSON.  Every reading raises ValueError if it is not as said."""

    __slots__ = ("_of",)

    def __init__(self, of: object) -> None:
        """Take over what json.loads gave."""
        if not isinstance(of, dict):
            raise ValueError("expected an object")  # noqa: TRY004  # damage, not a wrong call
        self._of: Mapping[str, object] = of

    @classmethod
    def parse(cls, text: bytes) -> Fields:
        """Read a whole document."""
        try:
            return cls(json.loads(text))
        except RecursionError as error:
            raise ValueError("nested too deep") from error

    def has(self, name: str) -> bool:
        """Tell if the field is there and not null."""
        return self._of.get(name) is not None

    def all(self) -> Mapping[str, object]:
        """Give them as they are."""
        return self._of

    def whole(self, name: str) -> int:
        """Read a whole number."""
        return self._typed(name, int)

    def text(self, name: str) -> str:
        """Read a text."""
        return self._typed(name, str)

    def truth(self, name: str) -> bool:
        """Read true or false."""
        value = self._of.get(name)
        if not isinstance(value, bool):
            raise ValueError(f"{name}: expected true or false")  # noqa: TRY004  # damage
        return value

    def number(self, name: str) -> float:
        """Read a number."""
        value = self._of.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{name}: expected a number")  # noqa: TRY004  # damage
        return float(value)

    def raw(self, name: str) -> bytes:
        """Read bytes in Base64 (RFC 4648, section 4)."""
        return base64.b64decode(self.text(name), validate=True)

    def inner(self, name: str) -> Fields:
        """Read an object."""
        return Fields(self._of.get(name))

    def each(self, name: str) -> Iterator[Fields]:
        """Read a list of objects."""
        for value in self._list(name):
            yield Fields(value)

    def texts(self, name: str) -> tuple[str, ...]:
        """Read a list of texts."""
        values = self._list(name)
        if not all(isinstance(value, str) for value in values):
            raise ValueError(f"{name}: expected texts")
        return tuple(str(value) for value in values)

    def _list(self, name: str) -> list[object]:
        value = self._of.get(name)
        if not isinstance(value, list):
            raise ValueError(f"{name}: expected a list")  # noqa: TRY004  # damage
        return value

    def _typed(self, name: str, kind: type[T]) -> T:
        value = self._of.get(name)
        if isinstance(value, bool) or not isinstance(value, kind):
            raise ValueError(f"{name}: expected {kind.__name__}")  # noqa: TRY004  # damage
        return value
