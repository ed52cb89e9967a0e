"""One connection: runs the commands that arrive, and sends their replies."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Protocol

from hashwacht.gateway.checks import ContentStream
from hashwacht.gateway.clamd.client_socket import ClamdTimeouts, ClientSocket
from hashwacht.gateway.clamd.commands import PATH_WORDS, ReplyForm, Word
from hashwacht.gateway.clamd.counters import ClamdCounters
from hashwacht.gateway.clamd.framing import (
    CommandReader,
    CommandReceived,
    Event,
    Refusal,
    StreamChunk,
    StreamEnd,
)
from hashwacht.gateway.clamd.responder import ClamdResponder
from hashwacht.gateway.peers import Peer

MAX_RUNNING = 16
"""Checks of one session at a time; until one ends, no further command is read."""


class ConnectionOwner(Protocol):
    """The server, as its connections see it."""

    counters: ClamdCounters
    timeouts: ClamdTimeouts
    buffer: memoryview
    """Where all connections read into: what is read is used at once."""

    def stats(self) -> Coroutine[Any, Any, bytes]:
        """Return the reply to STATS."""

    def report_fault(self, peer: Peer) -> None:
        """Record that a client does not keep to the protocol."""

    def report_stream(self, peer: Peer, size: int, last_chunk: int) -> None:
        """Record a complete content, for clients that cut them."""

    def forget(self, connection: ClamdConnection) -> None:
        """Drop a connection that is closed."""


class ClamdConnection:
    """Serves one client from the event loop until it is closed."""

    __slots__ = (
        "_client",
        "_descriptors",
        "_ends",
        "_events",
        "_loop",
        "_owner",
        "_peer",
        "_reader",
        "_refusal",
        "_responder",
        "_size",
        "_stream",
        "_tasks",
    )

    def __init__(
        self,
        connected: socket.socket,
        peer: Peer,
        owner: ConnectionOwner,
        responder: ClamdResponder,
        max_stream: int,
        *,
        refusal: bytes = b"",
    ) -> None:
        """Take over *connected*.  *refusal*: reply to every command with it, and nothing else."""
        self._peer, self._owner = peer, owner
        self._responder, self._refusal = responder, refusal
        self._reader = CommandReader(max_stream)
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stream: ContentStream | None = None
        self._size = 0
        self._events: list[Event] = []
        self._descriptors: list[int] = []
        self._ends = False
        self._client = ClientSocket(
            connected, owner.timeouts, self._on_readable, self._run, self._on_closed
        )
        self._client.resume()

    @property
    def deadline(self) -> float:
        """Return when ``expire`` is to be called, by the clock of the event loop."""
        return self._client.deadline

    @property
    def is_idle(self) -> bool:
        """Return whether this is a session in which nothing is under way."""
        return self._reader.in_session and not (self._tasks or self._client.unsent)

    def expire(self) -> None:
        """End because the deadline has passed."""
        if self._ends or self._tasks or self._client.unsent:
            self._client.close()
        else:
            self._end(b"COMMAND READ TIMED OUT\n")
            self._settle()

    def stop(self, reply: bytes) -> None:
        """End because the server ends; a request without an answer gets *reply*."""
        if self._tasks or self._reader.in_stream:
            self._client.send(self._reader.form.line(reply))
        self._client.close()

    def _on_readable(self) -> None:
        """Read once, and run what is complete."""
        buffer = self._owner.buffer[: self._reader.read_size]
        try:
            received = self._client.receive(buffer)
        except OSError:
            self._client.close()
            return
        if received is None:
            return
        size, self._descriptors = received
        if not size:  # what is under way is still answered, and nothing else
            self._end(b"")
            self._settle()
            return
        descriptor = len(self._descriptors) == 1  # clamd loses them all if there are two
        self._events += self._reader.receive(buffer[:size], descriptor=descriptor)
        self._run()

    def _run(self) -> None:
        """Run what has been read, as far as the client may have it run at a time."""
        while self._events and not self._ends and len(self._tasks) < MAX_RUNNING:
            self._handle(self._events.pop(0))
        if self._ends or not self._events:
            self._events.clear()
            self._release_descriptors()
            self._settle()
        else:
            self._client.pause()

    def _handle(self, event: Event) -> None:
        match event:
            case StreamChunk(data):
                self._write_chunk(data)
            case StreamEnd(form, last_chunk):
                self._finish_stream(form, last_chunk)
            case Refusal(reply, is_fault):
                self._release_stream()
                if is_fault:
                    self._owner.report_fault(self._peer)
                self._end(reply)
            case CommandReceived(word, argument, form):
                if self._refusal:
                    self._end(form.line(self._refusal))
                else:
                    self._execute(word, argument, form)

    def _execute(self, word: Word, argument: bytes, form: ReplyForm) -> None:
        """Run one command."""
        responder, peer = self._responder, self._peer
        if word in PATH_WORDS:
            self._reply_later(form, responder.path(word, argument, peer))
            return
        match word:
            case Word.INSTREAM:
                self._open_stream()
            case Word.FILDES:
                self._reply_later(form, responder.descriptor(self._descriptors.pop(), peer))
            case Word.PING:
                self._client.send(form.line(b"PONG"))
            case Word.QUIT | Word.SHUTDOWN:
                self._client.send(form.line(b"COMMAND UNAVAILABLE"))
            case Word.VERSION:
                self._reply_later(form, _single(responder.version()))
            case Word.VERSIONCOMMANDS:
                self._reply_later(form, _single(responder.commands()))
            case Word.STATS:
                self._reply_later(form, _single(self._owner.stats()))
            case Word.RELOAD:
                self._reply_later(form, _single(responder.reload()))
            case _:  # IDSESSION, END, DETSTATS and DETSTATSCLEAR have no reply
                pass

    def _open_stream(self) -> None:
        self._size = 0
        with suppress(OSError):  # without one, the content is read and undetermined
            self._stream = self._responder.open_stream()

    def _write_chunk(self, data: bytes) -> None:
        self._size += len(data)
        if self._stream is not None:
            try:
                self._stream.write(data)
            except OSError:
                self._release_stream()

    def _finish_stream(self, form: ReplyForm, last_chunk: int) -> None:
        stream, self._stream = self._stream, None
        self._owner.report_stream(self._peer, self._size, last_chunk)
        if stream is None:
            for text in self._responder.lost_stream():
                self._client.send(form.line(text))
        else:
            self._reply_later(form, self._responder.stream(stream, self._peer))

    def _release_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def _release_descriptors(self) -> None:
        """Close what came with a command that has no use for it."""
        while self._descriptors:
            os.close(self._descriptors.pop())

    def _reply_later(self, form: ReplyForm, replying: Coroutine[Any, Any, list[bytes]]) -> None:
        """Send the reply to a command when it is there."""

        async def reply() -> None:
            texts = await replying
            self._client.send(b"".join(map(form.line, texts)))

        task = self._loop.create_task(reply())
        self._tasks.add(task)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not self._client.is_closed:
            self._client.extend()
            self._run()

    def _end(self, reply: bytes) -> None:
        """Accept nothing more, send *reply* and then close."""
        self._ends = True
        self._release_stream()
        self._client.send(reply)

    def _settle(self) -> None:
        """Read on, wait, or close: whichever is next."""
        if self._client.is_closed:
            return
        self._ends = self._ends or self._reader.has_ended
        if self._ends and not (self._tasks or self._client.unsent):
            self._client.linger(self._owner.buffer)
        elif self._ends or self._client.unsent or self._events or len(self._tasks) >= MAX_RUNNING:
            self._client.pause()
            if self._ends and not self._client.unsent:
                self._client.deadline = float("inf")  # the checks have their own
        else:
            self._client.resume()

    def _on_closed(self) -> None:
        """Release what is held; checks under way go on, to be recorded."""
        self._ends = True
        self._release_stream()
        self._release_descriptors()
        self._owner.forget(self)


async def _single(text: Coroutine[Any, Any, bytes]) -> list[bytes]:
    return [await text]
