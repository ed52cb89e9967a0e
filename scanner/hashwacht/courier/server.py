"""The courier's socket: who may speak, how much at a time, and many requests at once."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

from hashwacht.courier.handler import RequestHandler
from hashwacht.ipc.client import MAX_CONCURRENT_REQUESTS
from hashwacht.ipc.frames import HEADER, ProtocolError, pack_frame, parse_header
from hashwacht.ipc.messages import (
    CourierReply,
    CourierRequest,
    DeliverRequest,
    DescribeRequest,
    FailureReply,
    decode_request,
    encode_reply,
)
from hashwacht.ipc.sockets import peer_uid

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 32
_ASKING, _TELLING = 64, 8
"""Threads: lookups never wait for a mail server."""

_SLOWEST_MESSAGE = 30.0
"""Seconds for the rest of a message, either way."""

_PULSE = 5.0
"""Seconds between two signs of life to a service manager."""

_LAST_WORDS = 3.0
"""Seconds for what is under way when the courier is told to stop."""


@dataclass(eq=False, slots=True)
class _Caller:
    """One connection and how many of its requests are under way."""

    writer: asyncio.StreamWriter
    work: set[asyncio.Task[None]] = field(default_factory=set)


class CourierServer:
    """Serves whoever is permitted, until it is told to stop."""

    def __init__(self, handler: RequestHandler, permitted: Collection[int]) -> None:
        """*permitted* are the users who may connect; the kernel says who does."""
        self._handler = handler
        self._permitted = frozenset(permitted)
        self._callers: set[_Caller] = set()
        self._asking = ThreadPoolExecutor(_ASKING, thread_name_prefix="asking")
        self._telling = ThreadPoolExecutor(_TELLING, thread_name_prefix="telling")

    def serve(
        self,
        listening: socket.socket,
        stop: threading.Event,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        """Answer until *stop*; then finish what takes no longer than a moment.

        *alive* is called every few seconds by what does the work.
        """
        asyncio.run(self._serve(listening, stop, alive))
        for each in (self._asking, self._telling):
            each.shutdown(wait=False, cancel_futures=True)

    async def _serve(
        self, listening: socket.socket, stop: threading.Event, alive: Callable[[], None]
    ) -> None:
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        threading.Thread(target=_tell, args=(stop, loop, ended), daemon=True).start()
        server = await asyncio.start_unix_server(self._accept, sock=listening)
        while not ended.is_set():
            alive()
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), _PULSE)
        server.close()
        work = {task for caller in self._callers for task in caller.work}
        if work:
            await asyncio.wait(work, timeout=_LAST_WORDS)
        for caller in self._callers:
            caller.writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection; nonsense ends it."""
        caller = _Caller(writer)
        if not self._admit(writer):
            writer.close()
            return
        self._callers.add(caller)
        try:
            while True:
                await self._take(caller, reader)
        except ProtocolError as error:
            log.warning("a connection was refused: %s", error)
        except (OSError, EOFError, TimeoutError):
            pass
        finally:
            self._callers.discard(caller)
            writer.transport.abort()

    def _admit(self, writer: asyncio.StreamWriter) -> bool:
        user = peer_uid(writer.get_extra_info("socket"))
        if user not in self._permitted:
            log.warning("user %d tried to connect and may not", user)
            return False
        return len(self._callers) < MAX_CONNECTIONS

    async def _take(self, caller: _Caller, reader: asyncio.StreamReader) -> None:
        """Read one request and see to it; a sign of life is given at once."""
        number, length = parse_header(await reader.readexactly(HEADER.size))
        async with asyncio.timeout(_SLOWEST_MESSAGE):
            request = decode_request(await reader.readexactly(length))
        if isinstance(request, DescribeRequest):
            await _send(caller, number, self._handler.describe())
        elif len(caller.work) >= MAX_CONCURRENT_REQUESTS:
            await _send(caller, number, FailureReply("too much is being asked at once"))
        else:
            task = asyncio.create_task(self._work(caller, number, request))
            caller.work.add(task)
            task.add_done_callback(caller.work.discard)

    async def _work(self, caller: _Caller, number: int, request: CourierRequest) -> None:
        threads = self._telling if isinstance(request, DeliverRequest) else self._asking
        loop = asyncio.get_running_loop()
        reply = await loop.run_in_executor(threads, self._handler.answer, request)
        try:
            await _send(caller, number, reply)
        except OSError:  # it has gone; it will ask again
            caller.writer.transport.abort()


async def _send(caller: _Caller, number: int, reply: CourierReply) -> None:
    """Send one reply.  Raises OSError, also if nobody takes it."""
    caller.writer.write(pack_frame(number, encode_reply(reply)))
    async with asyncio.timeout(_SLOWEST_MESSAGE):
        await caller.writer.drain()


def _tell(stop: threading.Event, loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    stop.wait()
    loop.call_soon_threadsafe(ended.set)
