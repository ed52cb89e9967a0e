"""The head of a request, and the events that a body reader returns."""

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
    """A file starts.  Described as the client does, empty where it does not."""

    field: str = ""
    file_name: str = ""
    declared_type: str = ""


@dataclass(frozen=True, slots=True)
class FileChunk:
    """The next bytes of the file."""

    chunk: bytes


@dataclass(frozen=True, slots=True)
class FileEnd:
    """The file is complete."""


@dataclass(frozen=True, slots=True)
class Unchecked:
    """The rest of the body cannot be checked; an open file is discarded."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class MalformedBody:
    """The body does not conform to its headers; an open file is discarded."""

    detail: str


BodyEvent = FileStart | FileChunk | FileEnd | Unchecked | MalformedBody
