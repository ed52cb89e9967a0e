"""aiohttp: ``request.multipart()``, parts decoded and as they came."""

from __future__ import annotations

import asyncio

from aiohttp import BodyPartReader, MultipartReader, StreamReader
from aiohttp.base_protocol import BaseProtocol
from multidict import CIMultiDict

from support.plugins.parsers.parsed import ParsedPart


def parse(content_type: str, body: bytes) -> list[ParsedPart]:
    """Return all parts in both ways."""
    return [
        part for decode in (True, False) for part in asyncio.run(_read(content_type, body, decode))
    ]


async def _read(content_type: str, body: bytes, decode: bool) -> list[ParsedPart]:
    loop = asyncio.get_running_loop()
    stream = StreamReader(BaseProtocol(loop), 1 << 16, loop=loop)
    stream.feed_data(body)
    stream.feed_eof()
    reader = MultipartReader(CIMultiDict({"Content-Type": content_type}), stream)
    return await _parts(reader, decode)


async def _parts(reader: MultipartReader, decode: bool) -> list[ParsedPart]:
    parts = []
    async for part in reader:
        if isinstance(part, BodyPartReader):
            content = bytes(await part.read(decode=decode))
            parts.append(ParsedPart(content, is_file=bool(part.filename)))
        elif part is not None:
            parts += await _parts(part, decode)
    return parts
