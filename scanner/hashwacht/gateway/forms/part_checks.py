"""Check the files in one form while it is read: a stream for each, a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress

from hashwacht.core.types import Reason
from hashwacht.gateway.checks import Answer, ContentStream
from hashwacht.multipart.events import (
    BodyEvent,
    FileChunk,
    FileDropped,
    FileEnd,
    FileStart,
    MalformedBody,
    Unchecked,
)
from hashwacht.uploads.backend import CheckResult, undetermined_result

MAX_FILES = 1000
"""Files in one form, in all readings, as in frameworks."""

MAX_PENDING_FILES = 8
"""Files of one form that wait for their answer: each has a spooled content."""

OpenStream = Callable[[], ContentStream]
CheckFile = Callable[[ContentStream, FileStart], "asyncio.Task[Answer]"]


class PartChecks:
    """Turns the events of a form into checks: ``handle``, then ``answers``; ``close`` always.

    *faults* are the reasons why files of the form may not have been found.
    """

    def __init__(self, open_stream: OpenStream, check: CheckFile, max_bytes: int) -> None:
        """Check each file by *check*; all files together may have *max_bytes*."""
        self._open_stream, self._check, self._left = open_stream, check, max_bytes
        self._open: dict[int, tuple[FileStart, ContentStream]] = {}
        self._tasks: list[asyncio.Task[Answer]] = []
        self._count = 0
        self.faults: list[CheckResult] = []

    async def handle(self, events: Iterable[BodyEvent]) -> None:
        """Write to the streams, and start the checks of complete files."""
        for event in events:
            match event:
                case FileStart():
                    self._start(event)
                case FileChunk(chunk, reading):
                    self._write(chunk, reading)
                case FileEnd(reading):
                    if reading in self._open:
                        await self._end(reading)
                case FileDropped(reading):
                    self._drop(reading)
                case Unchecked(reason, detail):
                    self._fail(reason, detail)
                case MalformedBody(detail):
                    self._fail(
                        Reason.DAMAGED, f"a form that applications may read differently: {detail}"
                    )

    async def answers(self) -> list[Answer]:
        """Return the answers for all files, in the order of their ends."""
        return list(await asyncio.gather(*self._tasks))

    def completed(self) -> list[Answer]:
        """Return the answers that are there."""
        return [t.result() for t in self._tasks if t.done() and not t.cancelled()]

    def close(self) -> None:
        """End what is under way, and release all contents."""
        for task in self._tasks:
            task.cancel()
        for reading in list(self._open):
            self._drop(reading)

    def _start(self, file: FileStart) -> None:
        self._count += 1
        if self._count > MAX_FILES:
            self._fail(Reason.OVER_LIMIT, f"a form of more than {MAX_FILES} files")
            return
        try:
            self._open[file.reading] = file, self._open_stream()
        except OSError as error:
            self._fail(Reason.OVERLOADED, f"no room for a file of a form: {error.strerror}")

    def _write(self, chunk: bytes, reading: int) -> None:
        if reading not in self._open:
            return
        self._left -= len(chunk)
        if self._left < 0:
            self._fail(Reason.OVER_LIMIT, "a form whose parts contain many times its own bytes")
            self._drop(reading)
            return
        try:
            self._open[reading][1].write(chunk)
        except OSError as error:
            self._fail(Reason.OVERLOADED, f"no room for a file of a form: {error.strerror}")
            self._drop(reading)

    async def _end(self, reading: int) -> None:
        file, stream = self._open.pop(reading)
        task = self._check(stream, file)
        task.add_done_callback(lambda _: stream.close())
        self._tasks.append(task)
        running = [task for task in self._tasks if not task.done()]
        if len(running) >= MAX_PENDING_FILES:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)

    def _drop(self, reading: int) -> None:
        with suppress(KeyError):
            self._open.pop(reading)[1].close()

    def _fail(self, reason: Reason, detail: str) -> None:
        if all(fault.reason is not reason for fault in self.faults):
            self.faults.append(undetermined_result(reason, detail))
