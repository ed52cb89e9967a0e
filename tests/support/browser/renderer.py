"""What a browser displays of a picture file: one browser process renders thousands of them.

The page ``renderer.html`` fetches one file after the other from a server on loopback, draws it on
a canvas at its natural size, on white and on black, and posts the pixels.  No driver is needed, so
the same page runs in Chromium and in Firefox.

::

    with chromium(tmp_path) as renderer:
        rendering = renderer.render(content)      # None: the browser displays nothing
        assert min(distance(shown, original) for shown in rendering.hashes) <= 31
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pdqhash
from numpy.typing import NDArray

from support.browser.webdriver import FLAGS
from support.services.http_server import Request, Response, Served, read_request

Pixels = NDArray[np.uint8]

PAGE = Path(__file__).with_suffix(".html")

MAX_PIXELS = 4_000_000
"""A larger rendering is scaled down by the browser; PDQ reduces it to 64x64 in any case."""

PENDING = 8
"""Files that are handed to the browser before the first result is awaited."""

ANSWER_LIMIT = 120.0
"""Seconds in which a browser starts, and renders a file."""


@dataclass(frozen=True, slots=True)
class PdqHash:
    """The PDQ hash of pixels, 64 hexadecimal digits, and its quality, 0 to 100."""

    value: str
    quality: int


def pdq(pixels: Pixels) -> PdqHash:
    """Hash RGB or grey pixels by the reference implementation."""
    vector, quality = pdqhash.compute(pixels)
    return PdqHash(np.packbits(vector.astype(np.uint8)).tobytes().hex(), int(quality))


def distance(one: PdqHash, other: PdqHash) -> int:
    """Return the number of bits in which two hashes differ."""
    return (int(one.value, 16) ^ int(other.value, 16)).bit_count()


@dataclass(frozen=True)
class Rendering:
    """What a browser displays: RGB pixels on a white and on a black page.

    *size* is the natural width and height.  Both pages are the same array unless something is
    transparent.
    """

    size: tuple[int, int]
    white: Pixels
    black: Pixels

    @cached_property
    def hashes(self) -> tuple[PdqHash, ...]:
        """PDQ on white, then on black if that differs."""
        pages = [self.white] if self.black is self.white else [self.white, self.black]
        return tuple(pdq(page) for page in pages)


@dataclass(frozen=True, slots=True)
class _Job:
    content: bytes
    media_type: str
    most: int
    result: Future[Rendering | None]


class RenderServer(Served):
    """Serves the page and the picture files, and receives the pixels."""

    def __init__(self) -> None:
        super().__init__()
        self._jobs: dict[int, _Job] = {}
        self._numbers = count()
        self._pending: asyncio.Queue[int] = asyncio.Queue()
        self.started: Future[None] = Future()

    def submit(self, content: bytes, media_type: str, most: int) -> Future[Rendering | None]:
        """Hand a picture file to the browser, as *media_type* unless that is empty."""
        result: Future[Rendering | None] = Future()
        self._loop.call_soon_threadsafe(self._add, _Job(content, media_type, most, result))
        return result

    def _add(self, job: _Job) -> None:
        number = next(self._numbers)
        self._jobs[number] = job
        self._pending.put_nowait(number)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection in turn."""
        while (request := await read_request(reader)) is not None:
            writer.write((await self._respond(request)).wire())
            await writer.drain()

    async def _respond(self, request: Request) -> Response:
        path, _, query = request.target.partition("?")
        _, where, *rest = path.split("/")
        if where == "":
            return _response(PAGE.read_bytes(), "text/html")
        if where == "next":
            if not self.started.done():
                self.started.set_result(None)
            number = await self._pending.get()
            task = {"id": number, "most": self._jobs[number].most}
            return _response(json.dumps(task).encode(), "application/json")
        if where == "content":
            job = self._jobs[int(rest[0])]
            return _response(job.content, job.media_type)
        if where == "rendering":
            self._receive(int(rest[0]), json.loads(unquote(query)), request.body)
            return Response(204)
        return Response(404)

    def _receive(self, number: int, head: dict[str, list[int] | None], body: bytes) -> None:
        job = self._jobs.pop(number)  # thousands of files follow
        size, scaled = head["size"], head["scaled"]
        if size is None or scaled is None:
            job.result.set_result(None)
            return
        width, height = scaled
        pages = np.frombuffer(body, np.uint8).reshape(-1, height, width, 4)[..., :3]
        white, black = (np.ascontiguousarray(pages[index]) for index in (0, -1))
        job.result.set_result(
            Rendering((size[0], size[1]), white, white if len(pages) == 1 else black)
        )


def _response(body: bytes, media_type: str) -> Response:
    headers = [("Cache-Control", "no-store")]
    return Response(200, body, (*headers, *([("Content-Type", media_type)] if media_type else [])))


class Renderer:
    """A running browser that renders picture files."""

    def __init__(self, server: RenderServer) -> None:
        """Use the browser that has loaded the page of *server*."""
        self._server = server

    def submit(
        self, content: bytes, media_type: str = "", *, most: int = MAX_PIXELS
    ) -> Future[Rendering | None]:
        """Start to render a file; more than *most* pixels are scaled down.

        The result is None if the browser displays nothing.  Browsers detect raster formats by the
        content; SVG needs its *media_type*.
        """
        return self._server.submit(content, media_type, most)

    def render(
        self, content: bytes, media_type: str = "", *, most: int = MAX_PIXELS
    ) -> Rendering | None:
        """Return what the browser displays of a file, as :meth:`submit`."""
        return self.submit(content, media_type, most=most).result(ANSWER_LIMIT)

    def render_all(
        self, contents: Iterable[tuple[bytes, str]], *, most: int = MAX_PIXELS
    ) -> Iterator[Rendering | None]:
        """Render files with their media types in order, some at the same time."""
        pending: deque[Future[Rendering | None]] = deque()
        for content, media_type in contents:
            pending.append(self.submit(content, media_type, most=most))
            if len(pending) >= PENDING:
                yield pending.popleft().result(ANSWER_LIMIT)
        while pending:
            yield pending.popleft().result(ANSWER_LIMIT)


def chromium(profile: Path) -> AbstractContextManager[Renderer]:
    """Start Chromium with a new *profile* directory; stop it at the end."""
    return _running(["chromium", *FLAGS, f"--user-data-dir={profile}"])


def firefox(profile: Path) -> AbstractContextManager[Renderer]:
    """Start Firefox with a new *profile* directory; stop it at the end."""
    profile.mkdir(parents=True, exist_ok=True)
    return _running(["firefox-esr", "--headless", "--no-remote", "--profile", str(profile)])


@contextmanager
def _running(command: list[str]) -> Iterator[Renderer]:
    assert shutil.which(command[0]), f"install the Debian package {command[0]}"
    with (
        RenderServer() as server,
        subprocess.Popen(
            [*command, server.url],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process,
    ):
        try:
            server.started.result(ANSWER_LIMIT)
            yield Renderer(server)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
