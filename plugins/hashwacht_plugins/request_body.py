"""The head of a request, and the readers of its body: multipart, raw or compressed, without I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import count

from hashwacht.multipart.body_readers import MalformedReading, SeveralReadings
from hashwacht.multipart.compressed import CompressedBody
from hashwacht.multipart.content_type import parse_content_type
from hashwacht.multipart.events import (
    BodyEvent,
    BodyReader,
    FileChunk,
    FileDropped,
    FileEnd,
    FileStart,
    MalformedBody,
)
from hashwacht.multipart.framing import StreamSearch
from hashwacht.multipart.multipart_reader import MultipartReader
from hashwacht.multipart.urlencoded import UrlencodedReader
from hashwacht_plugins.policy import ensure_collection
from hashwacht_plugins.request_paths import any_form_matches

_PLAIN = frozenset({"", "identity"})
_GZIP = frozenset({"gzip", "x-gzip", "deflate"})


@dataclass(frozen=True, slots=True)
class RequestHead:
    """The head of a request.  *headers* by lower-case name, *query* without question mark.

    *path* is decoded; *sent_path* is as the client sent it and *mount* where the application is
    mounted, empty if the server does not provide them.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    sent_path: str = ""
    mount: str = ""

    @property
    def content_type(self) -> str:
        """The declared type without parameters, lower case; empty if none is declared."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class RawBody:
    """Requests whose whole body is one file: methods, and shell patterns of paths and types.

    Paths are compared in every form in which an application may read them, without regard to case.
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
            and any(fnmatchcase(request.content_type, pattern) for pattern in self.types)
            and any_form_matches(request, self.paths)
        )


def body_reader_for(
    request: RequestHead, raw: Sequence[RawBody], max_decoded: int
) -> BodyReader | None:
    """Return a reader for the body of *request*, or None if it cannot contain files.

    A body that may be a form, one file, compressed or not, is read in all of these ways: what the
    application does is not known. A compressed body is decoded up to *max_decoded* bytes. An
    unknown encoding is malformed: otherwise a client could avoid every check by inventing one.
    """
    numbers = count()
    whole = any(rule.applies(request) for rule in raw)
    multipart = "multipart" in request.headers.get("content-type", "").lower()
    urlencoded = request.content_type == "application/x-www-form-urlencoded"
    if not (whole or multipart or urlencoded):
        return None
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in _PLAIN and encoding not in _GZIP:
        return MalformedReading(f"content encoding {encoding[:40]!r}")
    kind = parse_content_type(request.headers["content-type"]) if multipart else None
    if isinstance(kind, str):
        return MalformedReading(kind)
    plain: list[BodyReader] = []
    decoded: list[BodyReader] = []
    for readers in (plain, decoded) if encoding in _GZIP else (plain,):
        if kind and readers is plain and encoding in _GZIP:
            readers.append(_WithoutForm(kind.boundary))
        elif kind:
            readers.append(MultipartReader(kind.boundary, charset=kind.charset, numbers=numbers))
        if urlencoded:
            readers.append(UrlencodedReader(numbers))
        if whole:
            readers.append(_Whole(request, next(numbers)))
    plain += [CompressedBody(reader, max_decoded) for reader in decoded]
    return plain[0] if len(plain) == 1 else SeveralReadings(plain)


class _Whole:
    """A body that is one file; an empty body is no file."""

    def __init__(self, request: RequestHead, reading: int) -> None:
        name = request.path.rpartition("/")[2]
        self._reading = reading
        self._start: list[BodyEvent] = [FileStart("", name, request.content_type, reading)]
        self._any = False

    def receive(self, chunk: bytes) -> list[BodyEvent]:
        if not chunk:
            return []
        start, self._start, self._any = self._start, [], True
        return [*start, FileChunk(chunk, self._reading)]

    def finish(self) -> list[BodyEvent]:
        return [FileEnd(self._reading)] if self._any else []

    def abandon(self) -> list[BodyEvent]:
        return [FileDropped(self._reading)] if self._any else []


class _WithoutForm:
    """A compressed form as it came: it must not be a form for applications that do not decode."""

    def __init__(self, boundary: bytes) -> None:
        self._search = StreamSearch(boundary)

    def receive(self, chunk: bytes) -> list[BodyEvent]:
        if self._search.remainder_after(chunk) is not None:
            return [MalformedBody("the compressed bytes contain a form themselves")]
        self._search.advance(chunk)
        return []

    def finish(self) -> list[BodyEvent]:
        return []

    def abandon(self) -> list[BodyEvent]:
        return []
