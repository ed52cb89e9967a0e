"""Read a content as a socket server does that knows nothing but its bytes."""

from __future__ import annotations

from dataclasses import dataclass

from hashwacht.gateway.forms.form_readers import found_reader
from hashwacht.gateway.forms.form_search import FormSearch, FoundForm
from hashwacht.multipart.events import FileChunk, FileDropped, FileStart, MalformedBody


@dataclass(frozen=True)
class UndeclaredForm:
    """The files found in a content; *is_certain* if no other file can be in it."""

    files: frozenset[bytes]
    is_certain: bool


def find_form(content: bytes, step: int = 1 << 20) -> FoundForm:
    """Return what is found in a content that arrives in chunks of *step* bytes."""
    search = FormSearch()
    for at in range(0, len(content), step):
        search.receive(content[at : at + step])
    return search.finish()


def read_undeclared(content: bytes, step: int = 1 << 20) -> UndeclaredForm:
    """Return the files in a content of which nothing but the bytes is known."""
    found = find_form(content, step)
    reader = found_reader(found)
    events = [
        event
        for at in range(0, len(content), step)
        for event in reader.receive(content[at : at + step])
    ]
    files: dict[int, bytes] = {}
    is_certain = True
    for event in (*events, *reader.finish()):
        match event:
            case MalformedBody():
                is_certain = False
            case FileStart(reading=reading):
                files[reading] = b""
            case FileChunk(chunk=chunk, reading=reading):
                files[reading] += chunk
            case FileDropped(reading=reading):
                del files[reading]
    return UndeclaredForm(frozenset(files.values()), is_certain)
