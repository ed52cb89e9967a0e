"""Body readers, and the events that they return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from hashwacht.core.types import Reason


@dataclass(frozen=True, slots=True)
class FileStart:
    """A file starts.  Described as the client does, empty where it does not.

    Several files may be open at once, distinguished by *reading*: where applications read the same
    bytes differently (decoded or not), every reading is a file.
    """

    field: str = ""
    file_name: str = ""
    declared_type: str = ""
    reading: int = 0


@dataclass(frozen=True, slots=True)
class FileChunk:
    """The next bytes of a file."""

    chunk: bytes
    reading: int = 0


@dataclass(frozen=True, slots=True)
class FileEnd:
    """A file is complete."""

    reading: int = 0


@dataclass(frozen=True, slots=True)
class FileDropped:
    """A file is discarded: it equals another reading, or will not be complete."""

    reading: int = 0


@dataclass(frozen=True, slots=True)
class Unchecked:
    """The rest of the body cannot be checked in one of its readings."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class MalformedBody:
    """The body does not conform to its headers, or applications read it differently."""

    detail: str


BodyEvent = FileStart | FileChunk | FileEnd | FileDropped | Unchecked | MalformedBody


class BodyReader(Protocol):
    """Turns chunks of a body into events."""

    def receive(self, chunk: bytes) -> list[BodyEvent]:
        """Return the events for the next bytes of the body, as they were sent."""

    def finish(self) -> list[BodyEvent]:
        """Return the last events at the end of the body."""

    def abandon(self) -> list[BodyEvent]:
        """Return the events that discard the open files; the rest of the body is not read."""
