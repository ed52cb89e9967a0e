"""Requests to a service that takes one hash each: eokm, over loopback, one core a side."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection

import httpx
import pytest

from benchmarks.measuring import Table, at_least, named
from hashwacht.core.types import Outcome, Signal
from hashwacht.matching.services.base import ServiceConfig
from hashwacht.matching.services.client import ServiceMatcher
from hashwacht.matching.services.eokm import EokmProtocol

AT_ONCE = 16
"""Requests on their way at the same time, for both: the matcher's default is in this region."""

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nfalse"


class Always(asyncio.Protocol):
    """Answer false to every request at the lowest cost in Python: the client is measured."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._heard = transport, b""

    def data_received(self, data: bytes) -> None:
        """Answer each request; every body is one MD5 of 32 digits, which ends the request."""
        self._heard += data
        while (end := self._heard.find(b"\r\n\r\n")) >= 0 and len(self._heard) >= end + 36:
            self._heard = self._heard[end + 36 :]
            self._transport.write(ANSWER)


def serve(connection: Connection) -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Always, "127.0.0.1", 0)
        connection.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    asyncio.run(run())


@pytest.fixture
def url() -> Iterator[str]:
    receiver, sender = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(sender,))
    process.start()
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield f"http://127.0.0.1:{receiver.recv()}"
    os.sched_setaffinity(0, before)
    process.terminate()
    process.join()


def stock_httpx(url: str, values: list[str]) -> Callable[[], None]:
    """Do what httpx's documentation shows: one AsyncClient with its own pool, gather."""

    async def run() -> None:
        limits = httpx.Limits(max_connections=AT_ONCE)
        async with httpx.AsyncClient(limits=limits) as client:
            slots = asyncio.Semaphore(AT_ONCE)

            async def ask(value: str) -> str:
                async with slots:
                    answer = await client.post(f"{url}/v1/check/md5", content=value)
                    return answer.text

            answers = await asyncio.gather(*(ask(value) for value in values))
        assert set(answers) == {"false"}

    return lambda: asyncio.run(run())


def bench_eokm(table: Table, url: str) -> None:
    count = table.amount(400, 50)
    values = [f"{number:032x}" for number in range(count)]
    matcher = ServiceMatcher("eokm", ServiceConfig(url, concurrency=AT_ONCE), EokmProtocol())
    questions = [(Signal("md5", value),) for value in values]

    def ours() -> None:
        answers = matcher.lookup(questions)
        assert {answer.outcome for answer in answers} == {Outcome.NO_MATCH}

    times = table.race(ours=ours, peer=stock_httpx(url, values), rounds=5)
    table.add(
        f"eokm, {count:,} lookups, {AT_ONCE} at once",
        times,
        against=f"httpx.AsyncClient with its own pool, {named('httpx', 'httpcore', 'aiohttp')}",
        target=at_least(5, "x"),
    )
    matcher.close()
