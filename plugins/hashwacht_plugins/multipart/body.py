"""Find the files in a request body, multipart, raw or compressed: chunks in, events out, no I/O."""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

from python_multipart.multipart import parse_options_header

from hashwacht import Reason
from hashwacht_plugins.multipart.events import (
    BodyEvent,
    FileChunk,
    FileEnd,
    FileStart,
    MalformedBody,
    RequestHead,
    Unchecked,
)
from hashwacht_plugins.multipart.framing import StreamSearch, plain_boundary
from hashwacht_plugins.multipart.multipart_reader import MultipartReader
from hashwacht_plugins.policy import ensure_collection

_STEP = 256 << 10
"""Bytes decoded at a time."""

_BOUNDARY = re.compile(r";\s*boundary([^=;]*)=", re.IGNORECASE)
"""A boundary parameter of a content type; the group is not blank if it is extended (RFC 2231)."""

_GZIP = frozenset({"gzip", "x-gzip", "deflate"})


@dataclass(frozen=True, slots=True)
class RawBody:
    """Requests whose whole body is one file: methods, and shell patterns of paths and types.

    The defaults are what a browser's ``fetch(url, {body: file})`` and ``curl -T`` send for pictures
    and videos, and bodies without a type.  JSON and form posts are not files.  A client chooses the
    type that it declares: where your application accepts any body as a file, set ``types=("*",)``
    and the paths.
    """

    methods: Collection[str] = ("PUT", "POST", "PATCH")
    paths: Collection[str] = ("*",)
    types: Collection[str] = ("image/*", "video/*", "application/octet-stream", "")

    def __post_init__(self) -> None:
        """Normalize methods and types as they are sent.  Raises TypeError."""
        object.__setattr__(
            self, "methods", tuple(m.upper() for m in ensure_collection(self.methods))
        )
        object.__setattr__(self, "paths", ensure_collection(self.paths))
        object.__setattr__(self, "types", tuple(t.lower() for t in ensure_collection(self.types)))

    def applies(self, request: RequestHead) -> bool:
        """Return whether the body of *request* is one file."""
        return (
            request.method in self.methods
            and any(fnmatchcase(request.path, pattern) for pattern in self.paths)
            and any(fnmatchcase(request.content_type, pattern) for pattern in self.types)
        )


class BodyReader(Protocol):
    """Turns chunks of a body into events."""

    def receive(self, chunk: bytes) -> list[BodyEvent]:
        """Return the events for the next bytes of the body, as they were sent."""

    def finish(self) -> list[BodyEvent]:
        """Return the last events at the end of the body."""


def body_reader_for(
    request: RequestHead, raw: Sequence[RawBody], max_decoded: int
) -> BodyReader | None:
    """Return a reader for the body of *request*, or None if it cannot contain files.

    A compressed body is decoded up to *max_decoded* bytes.  Most applications do not decode at all,
    so the compressed bytes must not be a form themselves.  An unknown encoding is malformed:
    otherwise a client could avoid every check by inventing one.
    """
    plain: BodyReader
    boundary = b""
    if "multipart" in request.headers.get("content-type", "").lower():
        boundary = _boundary(request)
        plain = (
            MultipartReader(boundary)
            if boundary
            else _Malformed("a multipart without one plain boundary")
        )
    elif any(rule.applies(request) for rule in raw):
        plain = _Whole(request)
    else:
        return None
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return plain
    if encoding in _GZIP:
        return _Compressed(plain, max_decoded, b"--" + boundary if boundary else b"")
    return _Malformed(f"content encoding {encoding[:40]!r}")


def _boundary(request: RequestHead) -> bytes:
    """Return the boundary, or nothing if the header can be read in more than one way."""
    header = request.headers["content-type"]
    _, options = parse_options_header(header)
    parameters = _BOUNDARY.findall(header)
    plain = request.content_type.startswith("multipart/") and header.lower().count("multipart") == 1
    once = len(parameters) == 1 and not parameters[0].strip()
    return plain_boundary(options) if plain and once else b""


class _Whole:
    """A body that is one file; an empty body is no file."""

    def __init__(self, request: RequestHead) -> None:
        name = request.path.rpartition("/")[2]
        self._start: list[BodyEvent] = [FileStart("", name, request.content_type)]
        self._any = False

    def receive(self, chunk: bytes) -> list[BodyEvent]:
        if not chunk:
            return []
        start, self._start, self._any = self._start, [], True
        return [*start, FileChunk(chunk)]

    def finish(self) -> list[BodyEvent]:
        return [FileEnd()] if self._any else []


class _Compressed:
    """A body with Content-Encoding gzip or deflate: its decoded bytes contain the files."""

    def __init__(self, plain: BodyReader, max_decoded: int, forbidden: bytes) -> None:
        """Refuse a body that contains *forbidden*, unless empty, before it is decoded."""
        self._plain, self._max_decoded = plain, max_decoded
        self._forbidden = StreamSearch(forbidden) if forbidden else None
        self._decoder = _decoder()
        self._decoded = 0
        self._over = False

    def receive(self, chunk: bytes) -> list[BodyEvent]:
        if self._over:
            return []
        if self._forbidden is not None:
            if self._forbidden.remainder_after(chunk) is not None:
                self._over = True
                return [MalformedBody("the compressed bytes contain a form themselves")]
            self._forbidden.advance(chunk)
        events: list[BodyEvent] = []
        try:
            for piece in self._decode(chunk):
                self._decoded += len(piece)
                if self._decoded > self._max_decoded:
                    self._over = True
                    detail = f"a compressed body of more than {self._max_decoded} bytes"
                    return [*events, Unchecked(Reason.OVER_LIMIT, detail)]
                events += self._plain.receive(piece)
        except zlib.error:
            self._over = True
            events.append(MalformedBody("the body is not compressed as declared"))
        return events

    def _decode(self, chunk: bytes) -> Iterator[bytes]:
        """Decode in steps; gzip may have several members (RFC 1952, 2.2)."""
        while chunk:
            if self._decoder.eof:
                self._decoder = _decoder()
            yield self._decoder.decompress(chunk, _STEP)
            chunk = self._decoder.unconsumed_tail or self._decoder.unused_data

    def finish(self) -> list[BodyEvent]:
        if self._over:
            return []
        return [*self._plain.receive(self._decoder.flush()), *self._plain.finish()]


class _Malformed:
    """A body with malformed headers."""

    def __init__(self, detail: str) -> None:
        self._events: list[BodyEvent] = [MalformedBody(detail)]

    def receive(self, chunk: bytes) -> list[BodyEvent]:
        events, self._events = (self._events, []) if chunk else ([], self._events)
        return events

    def finish(self) -> list[BodyEvent]:
        return []


def _decoder() -> zlib._Decompress:
    """Return a decoder for gzip and zlib streams."""
    return zlib.decompressobj(wbits=32 + zlib.MAX_WBITS)
