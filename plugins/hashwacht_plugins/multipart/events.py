"""What a request body turns out to hold, as values; and what a request says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hashwacht import Reason


@dataclass(frozen=True, slots=True)
class RequestHead:
    """The head of a request.  *headers* by lower-case name, *query* without question mark."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]

    @property
    def content_type(self) -> str:
        """The declared type without parameters, lower case; empty if none is declared."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class FileStart:
    """A file comes.  What the client says of it, empty where it says nothing."""

    field: str = ""
    file_name: str = ""
    declared_type: str = ""


@dataclass(frozen=True, slots=True)
class FileChunk:
    """The next bytes of the file."""

    chunk: bytes


@dataclass(frozen=True, slots=True)
class FileEnd:
    """All of the file was seen."""


@dataclass(frozen=True, slots=True)
class Unchecked:
    """Files from here on cannot be seen; a file that had begun is void."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class MalformedBody:
    """The body is not what it says it is; a file that had begun is void."""

    detail: str


BodyEvent = FileStart | FileChunk | FileEnd | Unchecked | MalformedBody
