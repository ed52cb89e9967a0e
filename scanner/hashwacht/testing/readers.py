"""What web frameworks themselves take for files in a multipart body: the oracle for our parser.

Django's settings can be made once in a process, so :func:`in_all` is for a process of its own.
"""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Callable
from typing import Any

Read = Callable[[str, bytes], list[bytes]]
"""Given content type and body, gives the contents of the files; raises whatever it likes."""


def in_all(content_type: str, body: bytes) -> dict[str, list[bytes]]:
    """Give what each framework reads, by its name; nothing where it raises."""
    logging.disable(logging.CRITICAL)  # they complain, and rightly
    found = {}
    for name, read in READERS.items():
        try:
            found[name] = [each for each in read(content_type, body) if each]
        except Exception:  # noqa: BLE001  # whatever it raises, it took no files
            found[name] = []
    return found


def _django(content_type: str, body: bytes) -> list[bytes]:
    from django.conf import settings  # type: ignore[import-untyped]  # Django ships no types
    from django.core.files.uploadhandler import (  # type: ignore[import-untyped]  # as above
        MemoryFileUploadHandler,
    )
    from django.http.multipartparser import (  # type: ignore[import-untyped]  # as above
        MultiPartParser,
    )

    if not settings.configured:
        settings.configure()
    head = {"CONTENT_TYPE": content_type, "CONTENT_LENGTH": len(body)}
    _, files = MultiPartParser(head, io.BytesIO(body), [MemoryFileUploadHandler()]).parse()
    return [each.read() for _, several in files.lists() for each in several]


def _werkzeug(content_type: str, body: bytes) -> list[bytes]:
    from werkzeug.wrappers import Request

    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    files = Request(environ).files
    return [each.read() for _, several in files.lists() for each in several]


def _starlette(content_type: str, body: bytes) -> list[bytes]:
    from starlette.datastructures import UploadFile
    from starlette.requests import Request

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def read() -> list[bytes]:
        headers = [(b"content-type", content_type.encode("latin-1"))]
        scope = {"type": "http", "method": "POST", "headers": headers}
        async with Request(scope, receive).form() as form:
            values = [value for _, value in form.multi_items()]
            return [await each.read() for each in values if isinstance(each, UploadFile)]

    return asyncio.run(read())


def _aiohttp(content_type: str, body: bytes) -> list[bytes]:
    from aiohttp import BodyPartReader, MultipartReader, StreamReader
    from aiohttp.base_protocol import BaseProtocol
    from multidict import CIMultiDict

    async def read() -> list[bytes]:
        loop = asyncio.get_running_loop()
        stream = StreamReader(BaseProtocol(loop), 1 << 16, loop=loop)
        stream.feed_data(body)
        stream.feed_eof()
        return [
            bytes(await part.read(decode=True))
            async for part in MultipartReader(CIMultiDict({"Content-Type": content_type}), stream)
            if isinstance(part, BodyPartReader) and part.filename
        ]

    return asyncio.run(read())


READERS: dict[str, Read] = {
    "django": _django,
    "werkzeug": _werkzeug,
    "starlette": _starlette,
    "aiohttp": _aiohttp,
}
