"""From the bytes of a request body to the files in it.  No I/O: chunks in, events out."""

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
"""Each boundary of a content type, and what makes it an extended one (RFC 2231)."""

_GZIP = frozenset({"gzip", "x-gzip", "deflate"})


@dataclass(frozen=True, slots=True)
class RawBody:
    """Requests whose whole body is one file: methods, and shell patterns of paths and types.

    Defaults: what a browser's ``fetch(url, {body: file})`` and ``curl -T`` send for pictures and
    videos, and what clients send that know no type.  JSON and form posts are no files.  A client
    chooses the type it declares: where your application takes any body as a file, say so with
    ``types=("*",)`` and its paths.
    """

    methods: Collection[str] = ("PUT", "POST", "PATCH")
    paths: Collection[str] = ("*",)
    types: Collection[str] = ("image/*", "video/*", "application/octet-stream", "")

    def __post_init__(self) -> None:
        """Take methods and types as they come over the wire.  Raises TypeError."""
        object.__setattr__(
            self, "methods", tuple(m.upper() for m in ensure_collection(self.methods))
        )
        object.__setattr__(self, "paths", ensure_collection(self.paths))
        object.__setattr__(self, "types", tuple(t.lower() for t in ensure_collection(self.types)))

    def applies(self, request: RequestHead) -> bool:
        """Return whether the body of *request* is one file."""
        return (
            request.method in self.methods
            and any(fnmatchcase(request.path, each) for each in self.paths)
            and any(fnmatchcase(request.content_type, each) for each in self.types)
        )


class BodyReader(Protocol):
    """Turns chunks into events."""

    def receive(self, chunk: bytes) -> list[BodyEvent]:
        """Take the next bytes of the body, as they came over the wire."""

    def finish(self) -> list[BodyEvent]:
        """Yield the last events at the end of the body."""


def body_reader_for(
    request: RequestHead, raw: Sequence[RawBody], max_decoded: int
) -> BodyReader | None:
    """Find how to look for files in the body of *request*; None: it is of no interest.

    A compressed one is decoded to *max_decoded* bytes.  Most applications do not decode at all, so
    that it must not be a form for them as it came; what else a client calls its encoding would be a
    way around every check.
    """
    plain: BodyReader
    boundary = b""
    if "multipart" in request.headers.get("content-type", "").lower():
        boundary = _boundary(request)
        plain = (
            MultipartReader(boundary)
            if boundary
            else _Wrong("a multipart without one plain boundary")
        )
    elif any(each.applies(request) for each in raw):
        plain = _Whole(request)
    else:
        return None
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return plain
    if encoding in _GZIP:
        return _Inflated(plain, max_decoded, b"--" + boundary if boundary else b"")
    return _Wrong(f"content encoding {encoding[:40]!r}")


def _boundary(request: RequestHead) -> bytes:
    """Find the boundary; none if there is more than one way to read the header."""
    header = request.headers["content-type"]
    _, options = parse_options_header(header)
    named = _BOUNDARY.findall(header)
    plain = request.content_type.startswith("multipart/") and header.lower().count("multipart") == 1
    once = len(named) == 1 and not named[0].strip()
    return plain_boundary(options) if plain and once else b""


class _Whole:
    """The body is one file; an empty one is none."""

    def __init__(self, request: RequestHead) -> None:
        name = request.path.rpartition("/")[2]
        self._begins: list[BodyEvent] = [FileStart("", name, request.content_type)]
        self._any = False

    def receive(self, chunk: bytes) -> list[BodyEvent]:
        if not chunk:
            return []
        begins, self._begins, self._any = self._begins, [], True
        return [*begins, FileChunk(chunk)]

    def finish(self) -> list[BodyEvent]:
        return [FileEnd()] if self._any else []


class _Inflated:
    """A body with Content-Encoding gzip or deflate: the files are in what it decodes to."""

    def __init__(self, plain: BodyReader, at_most: int, never: bytes) -> None:
        """Refuse what has *never* in it before it is decoded, if that is given."""
        self._plain, self._at_most = plain, at_most
        self._never = StreamSearch(never) if never else None
        self._decoder = _decoder()
        self._decoded = 0
        self._over = False

    def receive(self, chunk: bytes) -> list[BodyEvent]:
        if self._over:
            return []
        if self._never is not None:
            if self._never.remainder_after(chunk) is not None:
                self._over = True
                return [MalformedBody("a form in a compressed body, beside what it decodes to")]
            self._never.advance(chunk)
        events: list[BodyEvent] = []
        try:
            for part in self._decode(chunk):
                self._decoded += len(part)
                if self._decoded > self._at_most:
                    self._over = True
                    detail = f"a compressed body of more than {self._at_most} bytes"
                    return [*events, Unchecked(Reason.OVER_LIMIT, detail)]
                events += self._plain.receive(part)
        except zlib.error:
            self._over = True
            events.append(MalformedBody("the body is not compressed as it says"))
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


class _Wrong:
    """A body whose head already is malformed."""

    def __init__(self, detail: str) -> None:
        self._events: list[BodyEvent] = [MalformedBody(detail)]

    def receive(self, chunk: bytes) -> list[BodyEvent]:
        events, self._events = (self._events, []) if chunk else ([], self._events)
        return events

    def finish(self) -> list[BodyEvent]:
        return []


def _decoder() -> zlib._Decompress:
    """Decode gzip as well as zlib's own form."""
    return zlib.decompressobj(wbits=32 + zlib.MAX_WBITS)
