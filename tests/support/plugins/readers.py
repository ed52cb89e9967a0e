"""What web frameworks themselves take for files in a multipart body: the oracle for our parser.

Django's settings can be made once in a process, so they read in a process of their own: this
module run as a program, which takes a line of JSON for each body and gives one.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Read = Callable[[str, bytes], list[bytes]]
"""Given content type and body, gives the contents of the files; raises whatever it likes."""


@contextmanager
def elsewhere() -> Iterator[Callable[[str, bytes], dict[str, list[bytes]]]]:
    """Give :func:`in_all`, done by another process."""
    with subprocess.Popen(
        [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        output, stream = process.stdin, process.stdout

        def read(content_type: str, body: bytes) -> dict[str, list[bytes]]:
            output.write(json.dumps([content_type, body.decode("latin-1")]) + "\n")
            output.flush()
            contents = json.loads(stream.readline())
            return {
                name: [file.encode("latin-1") for file in files] for name, files in contents.items()
            }

        yield read


def in_all(content_type: str, body: bytes) -> dict[str, list[bytes]]:
    """Give what each framework reads, by its name; nothing where it raises."""
    logging.disable(logging.CRITICAL)  # they complain, and rightly
    contents = {}
    for name, read in READERS.items():
        try:
            contents[name] = [content for content in read(content_type, body) if content]
        except Exception:  # noqa: BLE001  # the application's code; the upload is checked all the same
            contents[name] = []
    return contents


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
    return [file.read() for _, several in files.lists() for file in several]


def _werkzeug(content_type: str, body: bytes) -> list[bytes]:
    from werkzeug.wrappers import Request

    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    files = Request(environ).files
    return [file_storage.read() for _, several in files.lists() for file_storage in several]


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
            return [await value.read() for value in values if isinstance(value, UploadFile)]

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

if __name__ == "__main__":
    for line in sys.stdin:
        told, text = json.loads(line)
        readings = in_all(told, text.encode("latin-1"))
        shown = {name: [f.decode("latin-1") for f in files] for name, files in readings.items()}
        sys.stdout.write(json.dumps(shown) + "\n")
        sys.stdout.flush()
