"""Answers commands: hands contents to the checks, and to the virus scanner behind the gateway.

Every reply is written within the deadline.  A check that takes longer goes on, so that it is
recorded, but its client is sent that the content is undetermined.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from hashwacht.core.upload_context import UploadContext
from hashwacht.gateway.checks import Answer, ContentChecks, ContentStream
from hashwacht.gateway.clamd.commands import Word
from hashwacht.gateway.clamd.counters import ClamdCounters
from hashwacht.gateway.clamd.replies import (
    STREAM,
    ReplyWriter,
    commands_text,
    stats_text,
    version_text,
)
from hashwacht.gateway.clamd.upstream import Upstream, UpstreamFailure
from hashwacht.gateway.peers import Peer
from hashwacht.settings.gateway import ClamdSettings, UpstreamFailureReply

_log = logging.getLogger(__name__)

_Result = TypeVar("_Result")

RELOAD_INTERVAL = 10.0
"""Seconds between two reloads that are passed on: any client may ask for them."""

_MARGIN = 0.25
"""Seconds by which the checks, which have the same deadline, may report first why it passed."""


@dataclass(frozen=True, slots=True)
class _Judged:
    """Our answer, and what the virus scanner has replied if there is one."""

    answer: Answer | None
    upstream: bytes | None = None


class ClamdResponder:
    """Returns the texts of replies.  Used from one event loop."""

    def __init__(
        self,
        checks: ContentChecks,
        settings: ClamdSettings,
        counters: ClamdCounters,
    ) -> None:
        self._checks, self._timeout = checks, settings.timeout + _MARGIN
        self._writer = ReplyWriter(settings.on_undetermined)
        self._upstream = Upstream.from_settings(settings)
        self._passes_failures = settings.on_upstream_failure is UpstreamFailureReply.OK
        self._counters = counters
        self._revision, self._changed_at = 0, time.time()
        self._reloaded_at = float("-inf")
        self._late: set[asyncio.Task[Any]] = set()

    @property
    def running(self) -> int:
        """Return the number of checks that are under way."""
        return len(self._late)

    def open_stream(self) -> ContentStream:
        """Return a stream for a content that arrives.  Raises OSError."""
        return self._checks.open_stream()

    def lost_stream(self) -> list[bytes]:
        """Return the reply for a content that could not be kept."""
        return [self._writer.text(STREAM, None)]

    async def stream(self, stream: ContentStream, peer: Peer) -> list[bytes]:
        """Return the reply for a complete content, and release it."""

        async def check() -> _Judged:
            try:
                return await self._judge(stream.finish(_context(peer)), stream.descriptor)
            finally:
                stream.close()

        return [self._text(STREAM, await self._in_time(check()))]

    async def descriptor(self, fd: int, peer: Peer) -> list[bytes]:
        """Return the reply for a file that came as a descriptor, and close it."""
        subject = b"fd[%d]" % fd

        async def check() -> _Judged:
            try:
                return await self._judge(self._checks.check_fd(fd, _context(peer)), lambda: fd)
            finally:
                os.close(fd)

        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            return [subject + b": Not a regular file ERROR"]
        return [self._text(subject, await self._in_time(check()))]

    async def path(self, word: Word, path: bytes, peer: Peer) -> list[bytes]:
        """Return the reply for the files below *path*; there is none by TCP."""
        if peer.uid is None:
            return [path + b": Access denied. ERROR"]
        everything = word is not Word.SCAN
        checking = self._checks.check_path(path, peer, everything=everything)
        answers = await self._in_time(checking)
        if answers is None:
            return [self._writer.text(path, None)]
        texts = self._writer.path_texts(path, answers)
        if self._upstream is None or texts != [path + b": OK"]:
            return texts
        try:
            replies = await self._upstream.ask(word.value + b" " + path)
        except UpstreamFailure as error:
            return texts if self._passes(error) else [b"%s: Not scanned. ERROR" % path]
        return replies

    async def version(self) -> bytes:
        """Return the reply to VERSION; behind the gateway, its number counts as well."""
        revision = await self._checks.revision()
        if revision != self._revision:
            self._revision, self._changed_at = revision, time.time()
        if self._upstream is not None:
            with suppress(UpstreamFailure):
                return await self._upstream.version(revision)
        return version_text(revision, self._changed_at)

    async def commands(self) -> bytes:
        """Return the reply to VERSIONCOMMANDS."""
        return commands_text(await self.version())

    async def stats(self, connections: int, limit: int) -> bytes:
        """Return the reply to STATS."""
        return stats_text(connections, self.running, limit)

    async def reload(self) -> bytes:
        """Pass RELOAD on, at intervals; our lists are read again whenever they change."""
        now = time.monotonic()
        if self._upstream is not None and now - self._reloaded_at >= RELOAD_INTERVAL:
            self._reloaded_at = now
            with suppress(UpstreamFailure):
                await self._upstream.ask(Word.RELOAD.value)
        return b"RELOADING"

    async def _judge(
        self, checking: Coroutine[Any, Any, Answer], descriptor: Callable[[], int]
    ) -> _Judged:
        """Return both answers about one content; the virus scanner reads it at the same time."""
        if self._upstream is None:
            return _Judged(await checking)
        passing_on = asyncio.ensure_future(self._ask_upstream(descriptor()))
        try:
            answer = await checking
            if not self._writer.permits(answer):
                return _Judged(answer)
            return _Judged(answer, await passing_on)
        finally:
            passing_on.cancel()

    async def _ask_upstream(self, fd: int) -> bytes:
        """Return the verdict of the virus scanner, without its subject."""
        assert self._upstream is not None
        try:
            return await self._upstream.check_fd(fd)
        except UpstreamFailure as error:
            return b"OK" if self._passes(error) else b"Not scanned. ERROR"

    def _passes(self, error: UpstreamFailure) -> bool:
        """Count a failure of the virus scanner; return whether it is ignored."""
        self._counters.upstream_failures += 1
        _log.warning("the virus scanner behind the gateway gave no answer: %s", error)
        return self._passes_failures

    def _text(self, subject: bytes, judged: _Judged | None) -> bytes:
        """Return the text of a reply; no judgement: there was no time."""
        answer = None if judged is None else judged.answer
        if judged is None or judged.upstream is None:
            return self._writer.text(subject, answer)
        if subject == STREAM and judged.upstream.endswith(b" ERROR"):
            return judged.upstream  # more clients refuse without a subject
        return b"%s: %s" % (subject, judged.upstream)

    async def _in_time(self, checking: Coroutine[Any, Any, _Result]) -> _Result | None:
        """Return the result of *checking*, None if it takes too long or fails."""
        task = asyncio.create_task(checking)
        self._late.add(task)
        task.add_done_callback(self._finished)
        await asyncio.wait({task}, timeout=self._timeout)
        if not task.done():
            self._counters.timeouts += 1
            return None
        return None if task.cancelled() or task.exception() else task.result()

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._late.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log.error("a content could not be checked", exc_info=error)


def _context(peer: Peer) -> UploadContext:
    """Return the circumstances: the protocol has none, so they are those of the connection."""
    return UploadContext(
        received_at=datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
        address=peer.address,
        port=peer.port,
        submitter_uid=peer.uid,
    )
