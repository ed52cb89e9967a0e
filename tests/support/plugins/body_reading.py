"""Read a body with the middleware's own reader, without a checker."""

from __future__ import annotations

from collections.abc import Sequence

from hashwacht.multipart.events import FileChunk, FileDropped, FileStart, MalformedBody
from hashwacht_plugins.request_body import RawBody, RequestHead, body_reader_for


def checked_files(
    content_type: str, body: bytes, step: int = 1 << 20, raw: Sequence[RawBody] = ()
) -> list[bytes] | None:
    """Return the contents that are checked; None for a body that is refused.

    It arrives in chunks of *step* bytes.
    """
    request = RequestHead("POST", "/", "", {"content-type": content_type})
    reader = body_reader_for(request, raw, 1 << 20)
    if reader is None:
        return []
    chunks = [body[at : at + step] for at in range(0, len(body), step)]
    events = [event for chunk in chunks for event in reader.receive(chunk)]
    files: dict[int, bytes] = {}
    for event in (*events, *reader.finish()):
        match event:
            case MalformedBody():
                return None
            case FileStart(reading=reading):
                files[reading] = b""
            case FileChunk(chunk=chunk, reading=reading):
                files[reading] += chunk
            case FileDropped(reading=reading):
                del files[reading]
    return list(files.values())
