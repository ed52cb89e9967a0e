"""The reader in a real aiohttp application, with raised by aiohttp itself server and client."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from hashwacht import Checker, Outcome
from hashwacht.multipart.events import FileStart
from hashwacht_plugins.aiohttp import ScannedReader, UploadScanner
from hashwacht_plugins.policy import OnMatch, OnUndetermined, Policy, RefusalResponse
from support.plugins.uploads import KNOWN, knowing, opened

LARGE = b"other bytes" * 500_000

if TYPE_CHECKING:
    Client = TestClient[web.Request, web.Application]  # 3.10 has no parameters


class Site:
    """The files that arrived at the application."""

    def __init__(self, scan: UploadScanner) -> None:
        self.scan = scan
        self.received: list[bytes] = []
        self.readers: list[ScannedReader] = []

    async def form(self, request: web.Request) -> web.Response:
        async for part in await request.multipart():
            await self._take(self.scan.part(request, part))
        return web.Response(text="stored")

    async def body(self, request: web.Request) -> web.Response:
        await self._take(self.scan.body(request))
        return web.Response(text="stored")

    async def _take(self, reader: ScannedReader) -> None:
        received = bytearray()
        try:
            async with reader:
                async for chunk in reader:
                    received += chunk
        finally:
            self.received.append(bytes(received))
            self.readers.append(reader)

    def run(self, ask: Callable[[Client], Awaitable[Any]]) -> Any:
        async def running() -> Any:
            app = web.Application()
            app.add_routes([web.post("/", self.form), web.put("/{name}", self.body)])
            async with TestClient(TestServer(app)) as client:
                return await ask(client)

        return asyncio.run(running())


def post(*contents: bytes, encoding: str = "") -> Callable[[Client], Awaitable[Any]]:
    async def ask(client: Client) -> tuple[int, str]:
        with aiohttp.MultipartWriter("form-data") as writer:
            for each in contents:
                content = base64.encodebytes(each) if encoding else each
                part = writer.append(io.BytesIO(content), {"Content-Type": "image/jpeg"})
                part.set_content_disposition("form-data", name="picture", filename="a.jpg")
                if encoding:
                    part.headers["Content-Transfer-Encoding"] = encoding
        answer = await client.post("/", data=writer)
        return answer.status, await answer.text()

    return ask


def put(content: bytes) -> Callable[[Client], Awaitable[Any]]:
    async def ask(client: Client) -> tuple[int, str]:
        answer = await client.put("/a.jpg", data=io.BytesIO(content))
        return answer.status, await answer.text()

    return ask


@pytest.mark.parametrize("content", [b"other", LARGE])
def test_files_of_a_form_arrive_whole_with_their_verdicts(checker: Checker, content: bytes) -> None:
    site = Site(UploadScanner(checker))
    assert site.run(post(content, b"", b"second")) == (200, "stored")
    assert site.received == [content, b"", b"second"]
    assert [reader.result and reader.result.outcome for reader in site.readers] == [
        Outcome.NO_MATCH
    ] * 3
    assert {reader.file for reader in site.readers} == {FileStart("picture", "a.jpg", "image/jpeg")}


def test_of_a_match_the_last_chunk_never_arrives(checker: Checker) -> None:
    site = Site(UploadScanner(checker))
    assert site.run(post(b"other", KNOWN, b"third")) == (403, "This upload cannot be accepted.\n")
    assert site.received == [b"other", b""]
    assert site.readers[1].result is not None
    assert site.readers[1].result.outcome is Outcome.MATCH


def test_the_end_of_a_match_is_held_back_in_any_chunk_size(tmp_path: Path) -> None:
    content = KNOWN * 5000
    with knowing(content) as checker:
        site = Site(UploadScanner(checker, policy=Policy(spool=str(tmp_path))))

        async def ask(client: Client) -> int:
            async def dribble() -> AsyncIterator[bytes]:
                yield content[:-1]
                await asyncio.sleep(0.05)
                yield content[-1:]

            return (await client.put("/a.jpg", data=dribble())).status

        assert site.run(ask) == 403
    assert content.startswith(site.received[0])
    assert len(site.received[0]) <= len(content) - 4096


def test_a_multipart_in_a_multipart_is_refused(checker: Checker) -> None:
    site = Site(UploadScanner(checker))

    async def ask(client: Client) -> int:
        with aiohttp.MultipartWriter("mixed") as inner:
            inner.append(KNOWN)
        with aiohttp.MultipartWriter("form-data") as outer:
            outer.append(inner)
        return (await client.post("/", data=outer)).status

    assert site.run(ask) == 400


def test_a_body_that_is_a_file_is_read_alike(checker: Checker) -> None:
    site = Site(UploadScanner(checker))
    assert site.run(put(LARGE))[0] == 200
    assert site.run(put(KNOWN))[0] == 403
    assert site.received == [LARGE, b""]


@pytest.mark.filterwarnings("ignore:unread_data:DeprecationWarning")  # raised by aiohttp itself
def test_a_transfer_encoding_is_decoded_before_the_look(checker: Checker) -> None:
    site = Site(UploadScanner(checker))
    assert site.run(post(KNOWN, encoding="base64"))[0] == 403
    assert site.run(post(LARGE, encoding="base64"))[0] == 200
    assert site.received == [b"", LARGE]


def test_the_policy_says_what_happens_and_what_is_answered(checker: Checker) -> None:
    refusal = RefusalResponse.problem(451, "Not accepted")
    site = Site(UploadScanner(checker, policy=Policy(refused=refusal)))
    status, text = site.run(post(KNOWN))
    assert (status, '"status": 451' in text) == (451, True)
    holding_site = Site(UploadScanner(checker, policy=Policy(on_match=OnMatch.HOLD)))
    assert holding_site.run(post(KNOWN)) == (200, "stored")
    strict = Policy(on_undetermined=OnUndetermined.REJECT, max_bytes=100)
    assert Site(UploadScanner(checker, policy=strict)).run(post(LARGE))[0] == 503


def test_a_client_that_vanishes_leaves_no_file_open(checker: Checker, tmp_path: Path) -> None:
    site = Site(UploadScanner(checker, policy=Policy(spool=str(tmp_path))))

    def spooled() -> bool:
        return any(path.startswith(str(tmp_path)) for path in opened())

    async def vanish(client: Client) -> None:
        _, writer = await asyncio.open_connection(client.host, client.port)
        head = b"PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n"
        writer.write(head + b"x" * 100_000)
        while not spooled():  # noqa: ASYNC110  # the server does that without a signal
            await asyncio.sleep(0.01)
        writer.close()
        while not site.received:  # noqa: ASYNC110  # the server detects that without a signal
            await asyncio.sleep(0.01)

    site.run(vanish)
    assert not spooled()
    assert [reader.result for reader in site.readers] == [None]
