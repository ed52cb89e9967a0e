"""The courier's socket: access control, limits, concurrent requests, and their answers."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType

from hashwacht.core.errors import HashwachtError
from hashwacht.core.ports import Matcher
from hashwacht.core.types import Answer, Signal
from hashwacht.courier.channels import AlertChannel
from hashwacht.courier.list_downloads import ListDownloads
from hashwacht.ipc.client import MAX_CONCURRENT_REQUESTS
from hashwacht.ipc.codec import HEADER, ProtocolError, pack_frame, parse_header
from hashwacht.ipc.messages import (
    CheckReply,
    CheckRequest,
    CourierReply,
    CourierRequest,
    DeliverRequest,
    DescribeReply,
    DescribeRequest,
    FailureReply,
    ListPartRequest,
    ServiceHit,
    SignalLookupReply,
    SignalLookupRequest,
    SignalReply,
    decode_request,
    encode_reply,
    revision_digest,
)
from hashwacht.ipc.sockets import peer_uid

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 32
_THREADS = MAX_CONCURRENT_REQUESTS
"""Threads of each service and channel, started as needed: none of them waits for another one."""

_MESSAGE_TIMEOUT = 30.0
"""Seconds for the rest of a message, in both directions."""

_ALIVE_INTERVAL = 5.0
"""Seconds between two calls of *alive*."""

_STOP_TIMEOUT = 3.0
"""Seconds for running requests when the courier stops."""


@dataclass(eq=False, slots=True)
class _Client:
    """One connection and its running requests."""

    writer: asyncio.StreamWriter
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


class CourierServer:
    """Serves permitted users until it is stopped."""

    def __init__(self, handler: RequestHandler, permitted: Collection[int]) -> None:
        """*permitted* are the user IDs that may connect; the kernel reports each peer's."""
        self._handler = handler
        self._permitted = frozenset(permitted)
        self._clients: set[_Client] = set()
        described = handler.describe()
        self._executors = {
            name: ThreadPoolExecutor(_THREADS, thread_name_prefix=name)
            for name in (
                *described.matchers,
                *map(_channel_key, described.channels),
                *map(_list_key, described.lists),
                "",
            )
        }

    def serve(
        self,
        listening: socket.socket,
        stop: threading.Event,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        """Answer until *stop*; then wait a few seconds for running requests.

        The event loop calls *alive* every few seconds.
        """
        asyncio.run(self._serve(listening, stop, alive))
        for executor in self._executors.values():
            executor.shutdown(wait=False, cancel_futures=True)

    async def _serve(
        self, listening: socket.socket, stop: threading.Event, alive: Callable[[], None]
    ) -> None:
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        threading.Thread(target=_forward_stop, args=(stop, loop, ended), daemon=True).start()
        server = await asyncio.start_unix_server(self._accept, sock=listening)
        while not ended.is_set():
            alive()
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), _ALIVE_INTERVAL)
        server.close()
        tasks = {task for client in self._clients for task in client.tasks}
        if tasks:
            await asyncio.wait(tasks, timeout=_STOP_TIMEOUT)
        for client in self._clients:
            client.writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection; an invalid message ends it."""
        client = _Client(writer)
        if not self._admit(writer):
            writer.close()
            return
        self._clients.add(client)
        try:
            while True:
                await self._serve_request(client, reader)
        except ProtocolError as error:
            log.warning("closed a connection: %s", error)
        except (OSError, EOFError, TimeoutError):
            pass
        finally:
            self._clients.discard(client)
            writer.transport.abort()

    def _admit(self, writer: asyncio.StreamWriter) -> bool:
        user = peer_uid(writer.get_extra_info("socket"))
        if user not in self._permitted:
            log.warning("refused a connection of user %d, who is not permitted", user)
            return False
        return len(self._clients) < MAX_CONNECTIONS

    async def _serve_request(self, client: _Client, reader: asyncio.StreamReader) -> None:
        """Read one request and start it; DescribeRequest, the heartbeat, is answered at once."""
        number, length = parse_header(await reader.readexactly(HEADER.size))
        async with asyncio.timeout(_MESSAGE_TIMEOUT):
            request = decode_request(await reader.readexactly(length))
        if isinstance(request, DescribeRequest):
            await _send(client, number, self._handler.describe())
        elif len(client.tasks) >= MAX_CONCURRENT_REQUESTS:
            await _send(client, number, FailureReply("too many requests at once"))
        else:
            task = asyncio.create_task(self._work(client, number, request))
            client.tasks.add(task)
            task.add_done_callback(client.tasks.discard)

    async def _work(self, client: _Client, number: int, request: CourierRequest) -> None:
        executor = self._executors.get(_executor_key(request), self._executors[""])
        loop = asyncio.get_running_loop()
        reply = await loop.run_in_executor(executor, self._handler.answer, request)
        try:
            await _send(client, number, reply)
        except OSError:  # the client is gone; it repeats the request
            client.writer.transport.abort()


def _channel_key(channel: str) -> str:
    return f"alerts.{channel}"  # no matcher has a name with a dot


def _list_key(name: str) -> str:
    return f"lists.{name}"


def _executor_key(request: CourierRequest) -> str:
    """Return the name of the executor of a service, channel or list; unknown ones share one."""
    match request:
        case ListPartRequest(source):
            return _list_key(source)
        case DeliverRequest(channel):
            return _channel_key(channel)
        case SignalLookupRequest(matcher) | CheckRequest(matcher):
            return matcher
    return ""


async def _send(client: _Client, number: int, reply: CourierReply) -> None:
    """Send one reply.  Raises OSError, also if the client does not read it in time."""
    client.writer.write(pack_frame(number, encode_reply(reply)))
    async with asyncio.timeout(_MESSAGE_TIMEOUT):
        await client.writer.drain()


def _forward_stop(
    stop: threading.Event, loop: asyncio.AbstractEventLoop, ended: asyncio.Event
) -> None:
    stop.wait()
    loop.call_soon_threadsafe(ended.set)


_RELOAD = "Reload or restart the courier, so that it reads the same configuration as the scanner."


class RequestHandler:
    """The matchers, channels and list sources of the courier.  Thread-safe, as they are."""

    def __init__(
        self,
        matchers: Mapping[str, Matcher],
        channels: Mapping[str, AlertChannel],
        lists: Mapping[str, ListDownloads] = MappingProxyType({}),
    ) -> None:
        """Take them over, by their names in the configuration; ``close`` closes them."""
        self._matchers, self._channels, self._lists = matchers, channels, lists

    def answer(self, request: CourierRequest) -> CourierReply:
        """Return the reply; every failure is a reply."""
        try:
            return self._answer(request)
        except HashwachtError as error:
            return FailureReply(error.message, error.advice)
        except Exception as error:
            log.exception("cannot answer a request")
            problem = f"a bug in Hashwacht: {type(error).__name__}"
            return FailureReply(problem, "See the courier's log.")

    def describe(self) -> DescribeReply:
        """Return the names of matchers, channels and list sources."""
        return DescribeReply(tuple(self._matchers), tuple(self._channels), tuple(self._lists))

    def close(self) -> None:
        """Close all of them; running requests fail."""
        for source in self._lists.values():
            source.close()
        for matcher in self._matchers.values():
            matcher.close()
        for channel in self._channels.values():
            channel.close()

    def _answer(self, request: CourierRequest) -> CourierReply:
        match request:
            case DescribeRequest():
                return self.describe()
            case SignalLookupRequest() | CheckRequest():
                return self._ask_matcher(request)
            case DeliverRequest(name):
                channel = self._channels.get(name)
                if channel is None:
                    return FailureReply(f"no channel named {name} is configured here", _RELOAD)
                return channel.deliver(request)
            case ListPartRequest(name):
                source = self._lists.get(name)
                if source is None:
                    return FailureReply(f"no list named {name} has a url here", _RELOAD)
                return source.fetch(request)

    def _ask_matcher(self, request: SignalLookupRequest | CheckRequest) -> CourierReply:
        matcher = self._matchers.get(request.matcher)
        if matcher is None:
            return FailureReply(f"no matcher named {request.matcher} is configured here", _RELOAD)
        if isinstance(request, CheckRequest):
            return CheckReply(matcher.check())
        return _look_up(matcher, request)


def _look_up(matcher: Matcher, request: SignalLookupRequest) -> SignalLookupReply:
    """Look up each signal alone: the scanner combines the answers."""
    answers = matcher.lookup([(Signal(kind, value),) for kind, value in request.signals])
    replies = tuple(_signal_reply(matcher.name, answer) for answer in answers)
    return SignalLookupReply(revision_digest(matcher.revision), replies)


def _signal_reply(name: str, answer: Answer) -> SignalReply:
    if answer.reason is not None:
        return SignalReply((), answer.reason, answer.detail.removeprefix(f"{name}: "))
    return SignalReply(
        tuple(ServiceHit(m.category, m.distance, m.list, m.id) for m in answer.matches)
    )
