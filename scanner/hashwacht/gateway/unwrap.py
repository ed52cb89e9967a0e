"""Check the files in a form beside the whole content, because the whole matches no list.

Some programs pass on the body of a request as it came: c-icap, squidclamav, and those that send the
body files of a web server.  :mod:`hashwacht.gateway.forms` recognizes it.  Each file in it is
checked as well, in every way in which applications read it, and the worst answer counts.  A form
that cannot be read is undetermined: a file could be hidden in it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from hashwacht.core.types import Outcome, Reason, Verdict
from hashwacht.core.upload_context import UploadContext
from hashwacht.gateway.checks import (
    Answer,
    ContentChecks,
    ContentStream,
    HashedContent,
    PathAnswer,
)
from hashwacht.gateway.forms.form_readers import declared_reader, found_reader, mail_reader
from hashwacht.gateway.forms.form_search import LAST_BYTES, FormSearch
from hashwacht.gateway.forms.part_checks import PartChecks
from hashwacht.gateway.peers import Peer
from hashwacht.multipart.events import BodyEvent, BodyReader, FileStart
from hashwacht.uploads.backend import CheckResult, undetermined_result

_log = logging.getLogger(__name__)

MAX_SEARCHED = 64 << 20
"""Bytes at the beginning of a content in which the first part of a form must begin."""

MAX_EXPANSION = 8
"""How many times the bytes of a content its parts may have, in all readings together."""

_BLOCK = 256 << 10
_INLINE = 256 << 10
"""Bytes read at a time; contents up to the second size are not worth a thread."""

_SEVERITY = {Outcome.MATCH: 0, Outcome.UNDETERMINED: 1, Outcome.NO_MATCH: 2}

_Result = TypeVar("_Result")


class UnwrappingChecks:
    """ContentChecks that also check the files in forms.  Used from one event loop.

    Paths are passed on unchanged: only the scanner opens what is there.
    """

    def __init__(self, checks: ContentChecks, *, timeout: float) -> None:
        """Check by *checks*; what a form contains is undetermined after *timeout* seconds."""
        self._checks, self._timeout = checks, timeout

    def open_stream(self) -> ContentStream:
        """Return a stream for a content that is still arriving."""
        return _UnwrappingStream(self, self._checks.open_stream())

    async def check_fd(self, fd: int, context: UploadContext) -> Answer:
        """Return the answer for an open regular file and the files in it."""
        return await self.check_whole(self._checks.check_fd(fd, context), fd, context)

    async def check_path(
        self, path: bytes, peer: Peer, *, everything: bool
    ) -> Sequence[PathAnswer]:
        """Return the answers for the files below a path."""
        return await self._checks.check_path(path, peer, everything=everything)

    async def lookup(self, contents: Sequence[HashedContent]) -> Sequence[Verdict]:
        """Return a verdict on each content that a client has hashed."""
        return await self._checks.lookup(contents)

    async def is_able(self) -> bool:
        """Return whether any verdict can be given."""
        return await self._checks.is_able()

    async def revision(self) -> int:
        """Return the number of changes of lists and matchers so far."""
        return await self._checks.revision()

    async def check_whole(
        self, checking: Coroutine[Any, Any, Answer], fd: int, context: UploadContext
    ) -> Answer:
        """Return the worst answer of *checking*, for the content in *fd*, and for files in it."""
        size = os.fstat(fd).st_size
        find_reader = partial(_reader_for, fd, size, context.declared_type)
        if size <= _INLINE and (reader := find_reader()) is None:
            return await checking
        whole = asyncio.ensure_future(checking)
        try:
            if size > _INLINE:
                reader = await asyncio.to_thread(find_reader)
            if reader is None:
                return await whole
            parts, faults = await self._check_parts(reader, fd, size, context)
            answer = await whole
        finally:
            whole.cancel()
        for fault in faults:
            _log.warning("check %s: %s", answer.event, fault.verdict.detail)
        candidates = [answer, *parts, *(Answer(fault, answer.event) for fault in faults)]
        return min(candidates, key=lambda one: _SEVERITY[one.result.outcome])

    async def _check_parts(
        self, reader: BodyReader, fd: int, size: int, context: UploadContext
    ) -> tuple[list[Answer], list[CheckResult]]:
        """Return the answers for the files in a form, and why others may not have been found."""
        parts = self._part_checks(size, context)
        try:
            async with asyncio.timeout(self._timeout):
                await _feed(parts, reader, fd, size)
                return await parts.answers(), parts.faults
        except TimeoutError:
            late = undetermined_result(Reason.TIMED_OUT, "the files of a form took too long")
            return parts.completed(), [*parts.faults, late]
        except OSError as error:
            detail = f"a content cannot be read again: {error.strerror}"
            return [], [undetermined_result(Reason.UNREADABLE, detail)]
        finally:
            parts.close()

    def _part_checks(self, size: int, context: UploadContext) -> PartChecks:
        def check(stream: ContentStream, file: FileStart) -> asyncio.Task[Answer]:
            field, name, declared = file.field, file.file_name, file.declared_type
            part = replace(context, field=field, file_name=name, declared_type=declared)
            return asyncio.ensure_future(stream.finish(part))

        return PartChecks(self._checks.open_stream, check, MAX_EXPANSION * size)


class _UnwrappingStream:
    """A stream whose content may be a form."""

    def __init__(self, checks: UnwrappingChecks, stream: ContentStream) -> None:
        self._checks, self._stream = checks, stream
        self.write = stream.write
        self.descriptor = stream.descriptor
        self.close = stream.close

    async def finish(self, context: UploadContext) -> Answer:
        fd = self._stream.descriptor()
        return await self._checks.check_whole(self._stream.finish(context), fd, context)


async def _feed(parts: PartChecks, reader: BodyReader, fd: int, size: int) -> None:
    """Read the form in *fd* with *reader*, outside of the event loop if it is large."""

    def read(offset: int) -> tuple[int, list[BodyEvent]]:
        block = os.pread(fd, min(_BLOCK, size - offset), offset)
        return len(block), reader.receive(block) if block else reader.finish()

    offset, count = 0, 1
    while count:
        count, events = await _run(size, partial(read, offset))
        await parts.handle(events)
        offset += count


async def _run(size: int, function: Callable[[], _Result]) -> _Result:
    """Run *function* here if it works on few bytes, else in a thread."""
    return function() if size <= _INLINE else await asyncio.to_thread(function)


def _reader_for(fd: int, size: int, declared_type: str) -> BodyReader | None:
    """Return a reader for the content of *fd* if it is a form; None otherwise."""
    if (reader := declared_reader(declared_type)) is not None:
        return reader
    try:
        block = os.pread(fd, min(size, _BLOCK), 0)
        if (reader := mail_reader(block)) is not None:
            return reader
        search = FormSearch()
        search.receive(block)
        for offset in range(_BLOCK, min(size, MAX_SEARCHED), _BLOCK):
            search.receive(os.pread(fd, _BLOCK, offset))
        if size > MAX_SEARCHED:
            search.receive(os.pread(fd, LAST_BYTES, size - LAST_BYTES))
    except OSError:
        return None  # it cannot be read, which is the answer for the whole as well
    found = search.finish()
    return found_reader(found) if found else None
