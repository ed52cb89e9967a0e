"""Reading the body of a request: one file, or every file of a form, each into a stream of its own.

A form is read in every way in which applications read it (:mod:`hashwacht.multipart`), and what no
parser can read is an error, never "no match".  Checks begin as soon as a file is complete.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Self

from aiohttp import web

from hashwacht.core.types import Outcome
from hashwacht.core.upload_context import UploadContext
from hashwacht.gateway.checks import Answer, ContentChecks, ContentStream
from hashwacht.gateway.http.circumstances import Part, context_of_part
from hashwacht.gateway.http.problems import ApiProblem, bad_request, too_large, unavailable
from hashwacht.multipart.content_type import parse_content_type
from hashwacht.multipart.events import (
    BodyEvent,
    FileChunk,
    FileDropped,
    FileEnd,
    FileStart,
    MalformedBody,
    Unchecked,
)
from hashwacht.multipart.multipart_reader import MultipartReader

MAX_FILES = 1000
"""Files in one form, as in frameworks."""

MAX_PENDING_FILES = 8
"""Files of one form that are checked at a time: each has a spooled content."""

SILENCE_TIMEOUT = 60.0
"""Seconds without a byte of the body after which a request ends."""

_GRACE = 1.0
"""Seconds after the time limit of a check for its answer "undetermined" to arrive."""


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A file of a request, and its answer."""

    part: Part
    answer: Answer

    @property
    def outcome(self) -> Outcome:
        """MATCH, NO_MATCH or UNDETERMINED."""
        return self.answer.result.outcome


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """The largest body in bytes, and the seconds in which it is checked after its arrival."""

    size: int
    timeout: float


class RequestFiles:
    """The files of one request: ``read``, then ``results``; ``close`` on every path."""

    def __init__(self, checks: ContentChecks, limits: BodyLimits, context: UploadContext) -> None:
        self._checks, self._limits, self._context = checks, limits, context
        self._size = 0
        self._open: dict[int, tuple[Part, ContentStream]] = {}
        self._streams: set[ContentStream] = set()
        self._running: list[tuple[Part, asyncio.Task[Answer]]] = []
        self._unchecked = ""

    @property
    def has_files(self) -> bool:
        """Whether there is anything to check."""
        return bool(self._running) or bool(self._unchecked)

    async def read(self, request: web.BaseRequest) -> None:
        """Read the body and start the checks.  Raises ApiProblem, and any error of reading."""
        if request.content_type.startswith("multipart/"):
            await self._read_form(request)
        else:
            await self.read_raw(request)

    async def read_raw(self, request: web.BaseRequest) -> None:
        """Read the body as one file, whatever type it has."""
        if request.content_length is None and "Transfer-Encoding" not in request.headers:
            raise bad_request("The request has no body; an empty file has Content-Length: 0.")
        stream = self._open_stream()
        while chunk := await self._chunk(request):
            _write(stream, chunk)
        context = self._context
        part = Part("", context.file_name, context.declared_type)
        self._start(part, stream, context)

    async def _read_form(self, request: web.BaseRequest) -> None:
        kind = parse_content_type(request.headers["Content-Type"])
        if isinstance(kind, str):
            raise bad_request(f"The body has {kind}.")
        reader = MultipartReader(kind.boundary, charset=kind.charset)
        while chunk := await self._chunk(request):
            await self._handle(reader.receive(chunk))
        await self._handle(reader.finish())
        if not self.has_files:
            raise bad_request("The form contains no file: give its part a file name.")

    async def _chunk(self, request: web.BaseRequest) -> bytes:
        try:
            chunk = await asyncio.wait_for(request.content.readany(), SILENCE_TIMEOUT)
        except TimeoutError as error:
            detail = f"No byte of the body arrived for {SILENCE_TIMEOUT:g} s."
            raise ApiProblem(408, "Request timeout", detail, {"Connection": "close"}) from error
        self._size += len(chunk)
        if self._size > self._limits.size:
            raise too_large(self._limits.size)
        return chunk

    async def _handle(self, events: list[BodyEvent]) -> None:
        for event in events:
            match event:
                case FileStart(field, file_name, declared_type, reading):
                    part = Part(field, file_name, declared_type)
                    self._open[reading] = part, self._open_stream()
                case FileChunk(chunk, reading):
                    _write(self._open[reading][1], chunk)
                case FileEnd(reading):
                    part, stream = self._open.pop(reading)
                    self._start(part, stream, context_of_part(self._context, part))
                    await self._bound_running()
                case FileDropped(reading):
                    self._release(self._open.pop(reading)[1])
                case Unchecked(_, detail):
                    self._unchecked = detail
                case MalformedBody(detail):
                    raise bad_request(f"The form cannot be read: {detail}.")

    def _open_stream(self) -> ContentStream:
        if len(self._running) + len(self._open) >= MAX_FILES:
            raise bad_request(f"A form may contain at most {MAX_FILES} files.")
        try:
            stream = self._checks.open_stream()
        except OSError as error:
            raise _no_room(error) from error
        self._streams.add(stream)
        return stream

    def _start(self, part: Part, stream: ContentStream, context: UploadContext) -> None:
        task = asyncio.create_task(stream.finish(context))
        task.add_done_callback(lambda _: self._release(stream))
        self._running.append((part, task))

    async def _bound_running(self) -> None:
        running = [task for _, task in self._running if not task.done()]
        if len(running) >= MAX_PENDING_FILES:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)

    async def results(self) -> list[CheckedFile]:
        """Return the answers in the order of the body.  Raises ApiProblem if one is late."""
        tasks = [task for _, task in self._running]
        timeout = self._limits.timeout + _GRACE
        _, late = await asyncio.wait(tasks, timeout=timeout) if tasks else ((), ())
        files = [CheckedFile(part, task.result()) for part, task in self._running if task.done()]
        if any(file.outcome is Outcome.MATCH for file in files):
            return files
        if late:
            raise unavailable(f"No verdict within {self._limits.timeout:g} s; repeat the request.")
        if self._unchecked:
            raise bad_request(f"The form cannot be checked: {self._unchecked}.")
        return files

    def _release(self, stream: ContentStream) -> None:
        self._streams.discard(stream)
        stream.close()

    def close(self) -> None:
        """End all checks and release the contents.  Idempotent."""
        for _, task in self._running:
            task.cancel()
        for stream in [*self._streams]:
            self._release(stream)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()


def _write(stream: ContentStream, chunk: bytes) -> None:
    try:
        stream.write(chunk)
    except OSError as error:
        raise _no_room(error) from error


def _no_room(error: OSError) -> ApiProblem:
    return unavailable(f"There is no room to check the file: {error.strerror}.")
