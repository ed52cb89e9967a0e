"""Where a value came from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Source(StrEnum):
    """The places a value can come from, the weakest first."""

    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"
    OPTION = "option"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one value came from; *name* is the file, the variable or the option."""

    source: Source = Source.DEFAULT
    name: str = ""
    line: int | None = None

    def __str__(self) -> str:
        if self.source is Source.DEFAULT:
            return "default"
        return self.name if self.line is None else f"{self.name}:{self.line}"
